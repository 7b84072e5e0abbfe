// Builds what changed since the last time, then becomes the program that is named:
//
//   node tools/start.mjs <program> [arguments of the program]
//
// One process from here on, so that signals and exit codes are the program's own. The only file of this
// project that is not TypeScript, because it is what runs the compiler.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * `project` is what `tsc -b` builds. The tools are to run, and to report, where other packages have type errors.
 * @type {Record<string, { project: string, module: string, toleratesTypeErrors: boolean }>}
 */
const programs = {
  repro: { project: "benchmarks", module: "apps/repro/dist/main.js", toleratesTypeErrors: false },
  example: { project: "examples", module: "examples/dist/main.js", toleratesTypeErrors: false },
  test: { project: ".", module: "tools/dist/test.js", toleratesTypeErrors: true },
  check: { project: "tools", module: "tools/dist/check.js", toleratesTypeErrors: true },
  fix: { project: "tools", module: "tools/dist/fix.js", toleratesTypeErrors: true },
  python: { project: "tools", module: "tools/dist/python.js", toleratesTypeErrors: true },
  "bench-speed": {
    project: "benchmarks",
    module: "benchmarks/dist/speed/run.js",
    toleratesTypeErrors: false,
  },
  "bench-gpu": {
    project: "benchmarks",
    module: "benchmarks/dist/gpu/run.js",
    toleratesTypeErrors: false,
  },
  "bench-speed-longmemeval": {
    project: "benchmarks",
    module: "benchmarks/dist/speed/run-longmemeval.js",
    toleratesTypeErrors: false,
  },
  "bench-speed-metrics": {
    project: "benchmarks",
    module: "benchmarks/dist/speed/run-metrics.js",
    toleratesTypeErrors: false,
  },
  "bench-speed-retrieval": {
    project: "benchmarks",
    module: "benchmarks/dist/speed/run-retrieval.js",
    toleratesTypeErrors: false,
  },
  "bench-metrics-differential": {
    project: "benchmarks",
    module: "benchmarks/dist/metrics-differential/run.js",
    toleratesTypeErrors: false,
  },
  "docs-check": { project: "tools", module: "tools/dist/docs-check.js", toleratesTypeErrors: true },
};

const [name = "", ...programArguments] = process.argv.slice(2);
const program = programs[name];
if (program === undefined) {
  console.error(
    `tools/start.mjs: no program "${name}". There are: ${Object.keys(programs).join(", ")}.`,
  );
  process.exit(2);
}

const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
if (!existsSync(compiler)) {
  console.error(`Nothing is installed in ${root}. Run there: npx pnpm@10.34.8 install`);
  process.exit(2);
}
const build = spawnSync(process.execPath, [compiler, "-b", join(root, program.project)], {
  // The output of a program may be data: what the compiler says goes to stderr.
  stdio: ["ignore", process.stderr.fd, process.stderr.fd],
});
if (build.signal === "SIGINT" || build.signal === "SIGTERM")
  process.exit(build.signal === "SIGINT" ? 130 : 143);
const modulePath = join(root, program.module);
if (build.status !== 0 && !(program.toleratesTypeErrors && existsSync(modulePath))) {
  console.error(`The build failed (errors above), so "${name}" was not started.`);
  process.exit(1);
}

// A package manager that is ended by a signal leaves its script running: then the script ends as if it had got the signal.
if (process.env["npm_lifecycle_event"] === name) {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, "SIGTERM");
  }, 500);
  watch.unref();
}

process.argv = [process.execPath, modulePath, ...programArguments];
await import(pathToFileURL(modulePath).href);
