import { HarnessError } from "@memory-r1/spec";
import { ensureWritableFolder } from "./run-folder.ts";

/** What was found about one part of the set-up. `missing` is mended by the next run, `failed` by the user. */
export interface Finding {
  readonly name: string;
  readonly status: "ok" | "missing" | "failed";
  readonly detail: string;
  /** What to do about it. */
  readonly fix?: string;
}

export interface DoctorFinding extends Finding {
  /** The demo cannot run while the status is `failed`. */
  readonly neededByDemo: boolean;
}

/** @param minimum `major.minor`, as in package.json's `engines` */
export function checkNodeVersion(version: string, minimum: string): DoctorFinding {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  const [minimumMajor = 0, minimumMinor = 0] = minimum.split(".").map(Number);
  const isNewEnough = major > minimumMajor || (major === minimumMajor && minor >= minimumMinor);
  return {
    name: "node",
    status: isNewEnough ? "ok" : "failed",
    detail: `Node.js ${version}`,
    ...(isNewEnough ? {} : { fix: `install Node.js ${minimum} or newer` }),
    neededByDemo: true,
  };
}

/** @param running version of the pnpm that started this process, @param pinned the repository's own */
export function checkPnpm(running: string | undefined, pinned: string): DoctorFinding {
  if (running === pinned)
    return { name: "pnpm", status: "ok", detail: running, neededByDemo: false };
  return {
    name: "pnpm",
    status: "failed",
    detail:
      running === undefined
        ? "not started by pnpm"
        : `${running}, the repository is made with ${pinned}`,
    fix: `start with npx pnpm@${pinned} repro`,
    neededByDemo: false,
  };
}

/** Makes the folder if need be and writes to it. */
export async function checkWritable(
  name: string,
  folder: string,
  fix: string,
): Promise<DoctorFinding> {
  try {
    await ensureWritableFolder(folder, "");
    return { name, status: "ok", detail: folder, neededByDemo: true };
  } catch (error) {
    if (!HarnessError.isInstance(error)) throw error;
    return { name, status: "failed", detail: error.message.trim(), fix, neededByDemo: true };
  }
}

/** @param find gives the path of the official file without downloading it, or throws a ConfigError saying how to get it */
export async function checkLocomo(find: () => Promise<string>): Promise<DoctorFinding> {
  try {
    return { name: "locomo", status: "ok", detail: await find(), neededByDemo: false };
  } catch (error) {
    if (!HarnessError.isInstance(error)) throw error;
    return {
      name: "locomo",
      status: "missing",
      detail: "not found; the demo does not need it",
      fix: error.message,
      neededByDemo: false,
    };
  }
}
