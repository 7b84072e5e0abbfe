import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCheckRunner, engineChecks, type EngineSubject } from "../engine-checks.ts";

/** The checks of engine-checks.ts as a vitest suite. What an engine does not offer is skipped, with the reason. */
export function describeEngineConformance(
  name: string,
  start: () => Promise<EngineSubject & { readonly stop?: () => Promise<void> }>,
  options: { readonly startTimeoutMs?: number } = {},
): void {
  describe(`engine conformance: ${name}`, { timeout: 60_000 }, () => {
    let stop: (() => Promise<void>) | undefined;
    let run: ReturnType<typeof createCheckRunner>;
    beforeAll(async () => {
      const { stop: end, ...subject } = await start();
      stop = end;
      run = createCheckRunner(subject);
    }, options.startTimeoutMs ?? 60_000);
    afterAll(async () => {
      await stop?.();
    });

    for (const check of engineChecks)
      it(`${check.group}: ${check.name}`, async ({ skip }) => {
        const result = await run(check);
        if (result.status === "not offered") skip(result.reason);
        expect(result).toEqual({ status: "passed" });
      });
  });
}
