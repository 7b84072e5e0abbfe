/** The worker of run-longmemeval.ts: reads one file in a process of its own and writes what that took as one JSON line. */
import { readLongMemEval } from "@memory-r1/datasets";

const [file = ""] = process.argv.slice(2);
const startMs = performance.now();
let firstQuestionSeconds = 0;
let turns = 0;
let questions = 0;
// As the released files are read.
const reading = readLongMemEval({ file, findFlaws: false });
for (;;) {
  const next = await reading.next();
  if (next.done === true) {
    const { user, system } = process.cpuUsage();
    console.log(
      JSON.stringify({
        ...next.value,
        questions,
        turns,
        seconds: (performance.now() - startMs) / 1000,
        processorSeconds: (user + system) / 1e6,
        firstQuestionSeconds,
        // Kibibytes, on Linux and macOS alike.
        peakMemoryMib: process.resourceUsage().maxRSS / 1024,
      }),
    );
    break;
  }
  // Since the start of the process: loading the program is part of the wait.
  if (questions === 0) firstQuestionSeconds = performance.now() / 1000;
  questions += next.value.questions.length;
  for (const { turns: said } of next.value.conversation.sessions) turns += said.length;
}
