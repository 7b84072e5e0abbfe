import { HarnessError } from "@memory-r1/spec";

/** Ctrl-C and requests to end as an abort signal: what runs can end its workers. A second one ends at once. */
export function watchSignals(): { readonly signal: AbortSignal; readonly dispose: () => void } {
  const controller = new AbortController();
  const names = ["SIGINT", "SIGTERM"] as const;
  const listen = (name: (typeof names)[number]): void => {
    dispose();
    controller.abort(new HarnessError("interrupted", `interrupted by ${name}`));
  };
  const dispose = (): void => {
    for (const name of names) process.off(name, listen);
  };
  for (const name of names) process.on(name, listen);
  return { signal: controller.signal, dispose };
}
