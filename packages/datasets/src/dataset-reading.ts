import type { Dataset } from "@memory-r1/spec";
import type { DatasetFault } from "./dataset-definition.ts";
import { faultError } from "./files/faults.ts";

/** What a data set's files came to: the data as far as it can be read, and everything that is wrong with it. */
export interface DatasetReading {
  /** Undefined where faults leave nothing to read. */
  readonly dataset: Dataset | undefined;
  readonly faults: readonly DatasetFault[];
}

/** The data set of a reading without faults. @throws DataFormatError at the first fault */
export function datasetOf({ dataset, faults }: DatasetReading): Dataset {
  const [first, ...more] = faults;
  if (first !== undefined) throw faultError([first, ...more]);
  if (dataset === undefined) throw new RangeError("a reading without faults has a data set");
  return dataset;
}
