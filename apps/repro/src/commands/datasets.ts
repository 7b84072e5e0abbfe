import { buildRouteMap, type CommandContext, type RouteMap } from "@stricli/core";
import { buildDatasetsGetCommand, type DatasetsGetRequest } from "./datasets/get.ts";
import { buildDatasetsListCommand, type DatasetsListRequest } from "./datasets/list.ts";
import { buildDatasetsShowCommand, type DatasetsShowRequest } from "./datasets/show.ts";
import { buildDatasetsStatsCommand, type DatasetsStatsRequest } from "./datasets/stats.ts";
import { buildDatasetsVerifyCommand, type DatasetsVerifyRequest } from "./datasets/verify.ts";

/** What each command of `repro datasets` does; what `Result` stands for is the caller's: an exit code, or nothing. */
export interface DatasetsHandlers<Result> {
  list(request: DatasetsListRequest): Promise<Result>;
  get(request: DatasetsGetRequest): Promise<Result>;
  verify(request: DatasetsVerifyRequest): Promise<Result>;
  stats(request: DatasetsStatsRequest): Promise<Result>;
  show(request: DatasetsShowRequest): Promise<Result>;
}

/** `repro datasets`: where to get data sets, whether they are sound, and what is in them. */
export function buildDatasetsRoutes(handlers: DatasetsHandlers<void>): RouteMap<CommandContext> {
  return buildRouteMap({
    routes: {
      list: buildDatasetsListCommand((request) => handlers.list(request)),
      get: buildDatasetsGetCommand((request) => handlers.get(request)),
      verify: buildDatasetsVerifyCommand((request) => handlers.verify(request)),
      stats: buildDatasetsStatsCommand((request) => handlers.stats(request)),
      show: buildDatasetsShowCommand((request) => handlers.show(request)),
    },
    docs: { brief: "Get data sets, check them, count them, and look at their questions" },
  });
}
