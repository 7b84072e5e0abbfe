import { execFile } from "node:child_process";
import { cpus, platform, release, totalmem } from "node:os";
import { promisify } from "node:util";

/**
 * The commit that is measured; null where there is no git or no repository. `dirty`: something is not committed, other
 * than results, which a benchmark writes itself.
 */
export async function readCommit(
  repositoryRoot: string,
): Promise<{ commit: string | null; dirty: boolean }> {
  const git = promisify(execFile);
  try {
    const commit = await git("git", ["rev-parse", "HEAD"], { cwd: repositoryRoot });
    const status = await git("git", ["status", "--porcelain", "--", ".", ":(exclude)results"], {
      cwd: repositoryRoot,
    });
    return { commit: commit.stdout.trim(), dirty: status.stdout.trim() !== "" };
  } catch (cause) {
    // No git, or a downloaded archive.
    if (cause instanceof Error) return { commit: null, dirty: false };
    throw cause;
  }
}

/** The machine that is measured on, as a manifest names it. */
export function describeMachine(): {
  cpu: string;
  cores: number;
  memoryGiB: number;
  platform: string;
} {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${release()}`,
  };
}
