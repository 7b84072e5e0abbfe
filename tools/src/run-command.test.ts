import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { runCommand } from "./run-command.ts";
import { runSteps } from "./run-steps.ts";

const options = { directory: tmpdir(), environment: process.env, output: "capture" } as const;

/** Runs a script with this Node. */
const runNode = (script: string): ReturnType<typeof runCommand> =>
  runCommand(process.execPath, ["-e", script], options);

describe("runCommand", () => {
  it.each([0, 1, 3, 130])("gives exit code %i", async (exitCode) => {
    expect((await runNode(`process.exit(${exitCode})`)).exitCode).toBe(exitCode);
  });

  it("gives stdout and stderr", async () => {
    const { output } = await runNode("console.log('où'); console.error('東京')");
    expect(output.split("\n").toSorted()).toEqual(["", "où", "東京"]);
  });

  it("counts an end by a signal as a failure, and names the signal", async () => {
    const result = await runNode("process.kill(process.pid, 'SIGKILL')");
    expect(result.exitCode).toBe(1);
    expect(result.output).toContain("SIGKILL");
  });

  it("counts a program that does not exist as a failure, and names it", async () => {
    const result = await runCommand("no-such-program-1f3a", [], options);
    expect(result.exitCode).toBe(1);
    expect(result.output).toContain("no-such-program-1f3a could not be started");
  });

  it("gives no input: a program that reads it sees its end", async () => {
    const script = "process.stdin.on('data', () => {}).on('end', () => console.log('end'))";
    expect((await runNode(script)).output).toBe("end\n");
  });
});

describe("runSteps", () => {
  it("runs every step, shows the output of those that fail, and names them", async () => {
    let text = "";
    const failed = await runSteps({
      names: ["good", "bad", "absent", "last"],
      scripts: {
        good: "echo unseen",
        bad: "echo first && echo second && exit 3",
        last: "echo unseen",
      },
      directory: tmpdir(),
      environment: process.env,
      write: (part) => {
        text += part;
      },
    });
    expect(failed).toEqual(["bad", "absent"]);
    expect(text.replaceAll(/\d+\.\d s/g, "T s").split("\n")).toEqual([
      "good    ok      T s",
      "bad     FAILED  T s",
      "    first",
      "    second",
      "absent  FAILED  T s",
      '    package.json has no script "absent"',
      "last    ok      T s",
      "",
    ]);
  });
});
