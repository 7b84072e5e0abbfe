import { isAbsolute, join, resolve } from "node:path";

/** Everything that this program reads from environment variables; no other file reads one. */
export interface Environment {
  /** Where environments and converted models live, shared by all clones. MEMORY_R1_CACHE_DIR, else the platform's. */
  readonly cacheDirectory: string;
  /** MEMORY_R1_DATA_DIR: the folder with data sets. */
  readonly dataDirectory: string | undefined;
  /** MEMORY_R1_PYTHON: a path, or the name of a command. */
  readonly pythonPath: string | undefined;
  /** HF_TOKEN, for models that need an account. Never logged. */
  readonly huggingFaceToken: string | undefined;
  /** MEMORY_R1_ENDPOINT_TOKEN, for a model server named by --endpoint. HF_TOKEN never goes there. Never logged. */
  readonly endpointToken: string | undefined;
  /** NO_COLOR is set (no-color.org). */
  readonly noColor: boolean;
  /** CI is set: nobody watches, so progress is written as plain lines. */
  readonly isContinuousIntegration: boolean;
  /** Where the user typed the command. A package manager starts a script elsewhere and says so in INIT_CWD. */
  readonly callerDirectory: string;
  /** Version of the pnpm that started this process. */
  readonly pnpmVersion: string | undefined;
}

export interface EnvironmentSource {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly homeDirectory: string;
  readonly currentDirectory: string;
}

/** Reads the environment. An empty variable counts as not set. Relative paths are relative to the caller's folder. */
export function readEnvironment(source: EnvironmentSource): Environment {
  const read = (name: string): string | undefined => {
    const value = source.variables[name];
    return value === undefined || value === "" ? undefined : value;
  };
  // INIT_CWD is inherited by everything below a script, so it is believed only where we stand in a script's folder.
  const packageFile = read("npm_package_json");
  const startedAsScript =
    packageFile !== undefined && packageFile === join(source.currentDirectory, "package.json");
  const callerDirectory =
    (startedAsScript ? read("INIT_CWD") : undefined) ?? source.currentDirectory;
  const path = (name: string): string | undefined => {
    const value = read(name);
    return value === undefined ? undefined : resolve(callerDirectory, value);
  };
  const python = read("MEMORY_R1_PYTHON");
  const continuousIntegration = read("CI")?.toLowerCase();
  return {
    cacheDirectory: path("MEMORY_R1_CACHE_DIR") ?? platformCacheDirectory(source, read),
    dataDirectory: path("MEMORY_R1_DATA_DIR"),
    // A bare name such as `python3.12` is looked up on the PATH by whoever starts it.
    pythonPath:
      python !== undefined && /[/\\]/.test(python) ? resolve(callerDirectory, python) : python,
    huggingFaceToken: read("HF_TOKEN"),
    endpointToken: read("MEMORY_R1_ENDPOINT_TOKEN"),
    noColor: read("NO_COLOR") !== undefined,
    isContinuousIntegration: !["false", "0", undefined].includes(continuousIntegration),
    callerDirectory,
    pnpmVersion: /^pnpm\/(\S+)/.exec(read("npm_config_user_agent") ?? "")?.[1],
  };
}

function platformCacheDirectory(
  source: EnvironmentSource,
  read: (name: string) => string | undefined,
): string {
  // The XDG specification: a relative path in XDG_CACHE_HOME is to be ignored.
  const xdg = read("XDG_CACHE_HOME");
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "memory-r1");
  if (source.platform === "darwin")
    return join(source.homeDirectory, "Library", "Caches", "memory-r1");
  if (source.platform === "win32") {
    return join(
      read("LOCALAPPDATA") ?? join(source.homeDirectory, "AppData", "Local"),
      "memory-r1",
      "Cache",
    );
  }
  return join(source.homeDirectory, ".cache", "memory-r1");
}
