import type { Logger } from "@memory-r1/spec";

/** Where a data set may come from. Sets that lie inside the package ignore all of it. */
export interface LoadDatasetOptions {
  /** The user's data folder, or the file itself. Looked at first. */
  readonly dataDirectory?: string | undefined;
  /** Folder for downloads, made when needed. */
  readonly cacheDirectory: string;
  /** Whether a missing file may be downloaded; default true. */
  readonly download?: boolean;
  /** Gets the bytes behind an address; default: HTTP with a limit of two minutes. */
  readonly fetchBytes?: (url: string) => Promise<Uint8Array>;
  /** Hears of downloads; default: silent. */
  readonly logger?: Logger;
}
