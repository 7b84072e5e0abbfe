import { execFile } from "node:child_process";
import { cpus, platform, release, totalmem } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The commit of the checkout, and whether its files differ from it; undefined outside a git checkout. */
export async function codeVersion(
  repositoryRoot: string,
): Promise<{ commit: string; dirty: boolean } | undefined> {
  try {
    const commit = await run("git", ["rev-parse", "HEAD"], { cwd: repositoryRoot });
    const status = await run("git", ["status", "--porcelain"], { cwd: repositoryRoot });
    return { commit: commit.stdout.trim(), dirty: status.stdout.trim() !== "" };
  } catch (cause) {
    // No git, or a downloaded archive: the manifest then says so by leaving the commit out.
    if (cause instanceof Error) return undefined;
    throw cause;
  }
}

/** What a timing or a rounding can depend on. */
export function machineFacts(): {
  cpu: string;
  cores: number;
  memoryGiB: number;
  platform: string;
} {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${release()}`,
  };
}
