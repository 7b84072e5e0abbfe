import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type EnvironmentSource, readEnvironment } from "./environment.ts";

const read = (
  variables: Record<string, string>,
  platform: EnvironmentSource["platform"] = "linux",
) => readEnvironment({ variables, platform, homeDirectory: "/home/a", currentDirectory: "/work" });

describe("readEnvironment", () => {
  it("has the platform's cache folder by default", () => {
    expect(read({}).cacheDirectory).toBe("/home/a/.cache/memory-r1");
    expect(read({ XDG_CACHE_HOME: "/x" }).cacheDirectory).toBe("/x/memory-r1");
    expect(read({ XDG_CACHE_HOME: "relative" }).cacheDirectory).toBe("/home/a/.cache/memory-r1");
    expect(read({}, "darwin").cacheDirectory).toBe("/home/a/Library/Caches/memory-r1");
    expect(read({}, "win32").cacheDirectory).toBe(
      join("/home/a", "AppData", "Local", "memory-r1", "Cache"),
    );
    expect(read({ LOCALAPPDATA: "/local" }, "win32").cacheDirectory).toBe(
      join("/local", "memory-r1", "Cache"),
    );
  });

  it("takes the project's own variables, relative to where the user is", () => {
    expect(
      read({
        MEMORY_R1_CACHE_DIR: "cache",
        MEMORY_R1_DATA_DIR: "../data",
        MEMORY_R1_PYTHON: "bin/python",
        HF_TOKEN: "t",
        MEMORY_R1_ENDPOINT_TOKEN: "e",
        npm_config_user_agent: "pnpm/10.34.8 npm/? node/v20.20.2 linux x64",
      }),
    ).toMatchObject({
      cacheDirectory: "/work/cache",
      dataDirectory: "/data",
      pythonPath: "/work/bin/python",
      huggingFaceToken: "t",
      endpointToken: "e",
      pnpmVersion: "10.34.8",
    });
    expect(read({ MEMORY_R1_PYTHON: "python3.12" }).pythonPath).toBe("python3.12");
  });

  it("takes an empty variable as not set", () => {
    expect(read({ MEMORY_R1_DATA_DIR: "", HF_TOKEN: "", NO_COLOR: "", CI: "" })).toEqual(read({}));
    expect(read({})).toMatchObject({
      noColor: false,
      isContinuousIntegration: false,
      huggingFaceToken: undefined,
    });
  });

  it("knows that nobody watches", () => {
    expect(read({ CI: "true" }).isContinuousIntegration).toBe(true);
    expect(read({ CI: "false" }).isContinuousIntegration).toBe(false);
    expect(read({ NO_COLOR: "1" }).noColor).toBe(true);
  });

  it("believes INIT_CWD only where a package manager started this process in a package's folder", () => {
    expect(
      read({ INIT_CWD: "/user", npm_package_json: "/work/package.json" }).callerDirectory,
    ).toBe("/user");
    expect(
      read({ INIT_CWD: "/user", npm_package_json: "/elsewhere/package.json" }).callerDirectory,
    ).toBe("/work");
    expect(read({ INIT_CWD: "/user" }).callerDirectory).toBe("/work");
  });
});
