import type { Logger } from "@memory-r1/spec";
import type { DownloadProgress } from "./files/download-file.ts";

/** Where a data set may come from. Sets that lie inside the package ignore all of it. */
export interface LoadDatasetOptions {
  /** The user's data folder, or the file itself. Looked at first. */
  readonly dataDirectory?: string | undefined;
  /** Folder for downloads, made when needed. */
  readonly cacheDirectory: string;
  /** Whether a missing file may be downloaded; default true. */
  readonly download?: boolean;
  /** Default: the one of Node. */
  readonly fetch?: typeof globalThis.fetch;
  /** Ends a download; what was got stays for the next one. */
  readonly signal?: AbortSignal;
  /** Hears how far a download is, at every piece. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Hears of downloads; default: silent. */
  readonly logger?: Logger;
}
