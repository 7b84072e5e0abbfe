import type { DownloadProgress } from "@memory-r1/datasets";
import type { ProgressTask } from "./run-context.ts";

const bytesPerMegabyte = 1e6;

/**
 * Shows downloads as progress tasks in megabytes, one a file. A file of unknown size has no bar: there is nothing to
 * measure it by.
 */
export function downloadProgress(
  startProgress: (label: string, total: number) => ProgressTask,
): (progress: DownloadProgress) => void {
  const tasks = new Map<string, { readonly task: ProgressTask; shownBytes: number }>();
  return ({ file, doneBytes, totalBytes }) => {
    if (totalBytes === undefined) return;
    const shown = tasks.get(file) ?? {
      task: startProgress(`${file} (MB)`, totalBytes / bytesPerMegabyte),
      shownBytes: 0,
    };
    tasks.set(file, shown);
    // A download that starts anew falls back: the bar waits until it is there again.
    if (doneBytes > shown.shownBytes) {
      shown.task.advance((doneBytes - shown.shownBytes) / bytesPerMegabyte);
      shown.shownBytes = doneBytes;
    }
    if (doneBytes >= totalBytes) shown.task.done();
  };
}
