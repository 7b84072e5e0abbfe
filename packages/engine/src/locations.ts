import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The user's cache folder of this project, where the Python environment and the models are shared by all clones. */
export function defaultCacheDirectory(
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  switch (platform) {
    case "darwin":
      return join(home, "Library", "Caches", "memory-r1");
    case "win32":
      return join(home, "AppData", "Local", "memory-r1", "Cache");
    default:
      return join(home, ".cache", "memory-r1");
  }
}

/** packages/engine-torch of this checkout: the Python package and its requirements.txt. */
export function defaultEngineDirectory(): string {
  // This file lies one folder deep in its package, as source and as built.
  return fileURLToPath(new URL("../../engine-torch", import.meta.url));
}

/** What the embedded engine of a folder needs. */
export const requirementsOf = (engineDirectory: string): string =>
  join(engineDirectory, "requirements.txt");

/** What `repro engine check --engine skyrl` installs. */
export const skyRlRequirements = (): string =>
  fileURLToPath(new URL("../skyrl-requirements.txt", import.meta.url));
