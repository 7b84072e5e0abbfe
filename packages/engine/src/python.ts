import { ConfigError, DataFormatError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { $ } from "zx";

/** A Python interpreter that can run the engine. */
export interface PythonInterpreter {
  /** Absolute path. */
  readonly executable: string;
  /** `3.11.9` */
  readonly version: string;
}

/** Versions for which every pinned requirement has a wheel, as [major, minor], both ends included. */
export const supportedPythonVersions = { first: [3, 11], last: [3, 13] } as const;

const candidateNames = ["python3.13", "python3.12", "python3.11", "python3", "python"] as const;

const probeScript =
  "import importlib.util as u, json, platform, sys; " +
  "print(json.dumps({'executable': sys.executable, 'version': platform.python_version(), " +
  "'canMakeEnvironments': all(u.find_spec(m) is not None for m in ('venv', 'ensurepip'))}))";

const probeSchema = z.object({
  executable: z.string(),
  version: z.string(),
  canMakeEnvironments: z.boolean(),
});

/** What a candidate turned out to be. */
type PythonProbe =
  | { readonly command: string; readonly status: "usable"; readonly python: PythonInterpreter }
  | { readonly command: string; readonly status: "absent" }
  | { readonly command: string; readonly status: "unusable"; readonly problem: string };

function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const { first, last } = supportedPythonVersions;
  return major === first[0] && minor >= first[1] && minor <= last[1];
}

/** Runs a candidate and says whether it can serve. */
async function probePython(command: string): Promise<PythonProbe> {
  const output = await $({
    quiet: true,
    nothrow: true,
    timeout: "30s",
  })`${command} -c ${probeScript}`;
  // 127 and 126 are the shell's for a command that is absent or cannot be run; pyenv uses 127 for a version not set.
  if (output.exitCode === 127) return { command, status: "absent" };
  if (output.exitCode !== 0) {
    const problem = (output.stderr.trim().split("\n").at(-1) ?? "").slice(0, 200);
    return { command, status: "unusable", problem: `it does not run (${problem})` };
  }
  let probe: z.infer<typeof probeSchema>;
  try {
    probe = parseJson(output.stdout, probeSchema, command);
  } catch (error) {
    if (!(error instanceof DataFormatError)) throw error;
    return { command, status: "unusable", problem: "it does not behave like Python 3" };
  }
  if (!isSupported(probe.version))
    return { command, status: "unusable", problem: `it is Python ${probe.version}` };
  if (!probe.canMakeEnvironments) {
    const [major, minor] = probe.version.split(".");
    return {
      command,
      status: "unusable",
      problem: `Python ${probe.version} lacks the venv module (Debian, Ubuntu: install python${major}.${minor}-venv)`,
    };
  }
  return {
    command,
    status: "usable",
    python: { executable: probe.executable, version: probe.version },
  };
}

const installHint =
  "Install Python 3.11, 3.12 or 3.13 (https://www.python.org/downloads), or name one (repro: by the variable MEMORY_R1_PYTHON)";

/** Finds a Python of a supported version: the one given, else python3.13, python3.12, python3.11, python3, python.
 *  @throws ConfigError that lists what was found and what to install. */
export async function findPython(
  options: { readonly python?: string | undefined; readonly candidates?: readonly string[] } = {},
): Promise<PythonInterpreter> {
  if (options.python !== undefined) {
    const probe = await probePython(options.python);
    if (probe.status === "usable") return probe.python;
    const problem = probe.status === "absent" ? "there is no such command" : probe.problem;
    throw new ConfigError(
      `${options.python} cannot run the engine: ${problem}. ${installHint.replace(", or", "; or")}.`,
    );
  }
  const candidates = options.candidates ?? candidateNames;
  const problems: string[] = [];
  // At once: a version manager's stand-in takes long to say that it has nothing.
  const probes = await Promise.all(candidates.map(probePython));
  for (const probe of probes) {
    if (probe.status === "usable") return probe.python;
    if (probe.status === "unusable") problems.push(`${probe.command}: ${probe.problem}`);
  }
  const found =
    problems.length === 0
      ? `no Python was found (looked for ${candidates.join(", ")})`
      : `no usable Python was found (${problems.join("; ")})`;
  throw new ConfigError(`The engine needs Python 3.11 to 3.13, and ${found}. ${installHint}.`);
}
