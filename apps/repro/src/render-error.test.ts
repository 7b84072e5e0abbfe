import {
  ConfigError,
  DataFormatError,
  DataIntegrityError,
  EngineLostError,
  ModelCallError,
  ResumeMismatchError,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { renderError } from "./render-error.ts";

const resumeCommand = "pnpm repro resume demo-1";
const render = (error: unknown, verbose = false) => renderError(error, { verbose, resumeCommand });

describe("renderError", () => {
  it.each([
    new ConfigError("no Python: install Python 3.11", new Error("inner")),
    new DataIntegrityError({ file: "f", expected: "a", found: "b", fix: "Get it again." }),
    new DataFormatError({ source: "f", path: "a.b", problem: "is text", fix: "make it a number" }),
    new ResumeMismatchError("the data differs"),
  ])("shows the message of a $name alone and exits 2", (error) => {
    expect(render(error)).toEqual({ text: `error: ${error.message}\n`, exitCode: 2 });
  });

  it("shows what else went wrong with its causes and how to go on, and exits 1", () => {
    const cause = new ModelCallError("no answer", {
      retryable: true,
      cause: new Error("socket closed"),
    });
    expect(render(new EngineLostError("the engine has stopped", cause))).toEqual({
      text: [
        "error: the engine has stopped",
        "  caused by: no answer",
        "  caused by: socket closed",
        `resume with: ${resumeCommand}`,
        "",
      ].join("\n"),
      exitCode: 1,
    });
  });

  it("shows the stack of a bug, and of any error with --verbose", () => {
    expect(render(new TypeError("x is not a function")).text).toMatch(
      /^error: x is not a function\n {4}at /,
    );
    expect(render(new ConfigError("no Python")).text).not.toMatch(/^ {4}at /m);
    expect(render(new ConfigError("no Python"), true).text).toMatch(/^ {4}at /m);
  });

  it("has no advice on resuming where there is no run", () => {
    expect(renderError(new EngineLostError("gone"), { verbose: false }).text).toBe("error: gone\n");
  });

  it("finds words for errors without a message, values that are no errors, and causes in a circle", () => {
    const refused = Object.assign(new Error(""), { code: "ECONNREFUSED" });
    const failed = new EngineLostError(
      "no connection",
      new AggregateError([refused, new Error("::1 refused")]),
    );
    expect(render(failed).text).toContain("  caused by: ECONNREFUSED; ::1 refused\n");
    expect(render("plain text")).toEqual({
      text: `error: plain text\nresume with: ${resumeCommand}\n`,
      exitCode: 1,
    });
    const circle = new EngineLostError("a");
    circle.cause = circle;
    expect(render(circle).text).toBe(`error: a\nresume with: ${resumeCommand}\n`);
  });
});
