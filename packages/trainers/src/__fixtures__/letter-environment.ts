import type { Environment, Episode, GeneratedText, PolicyPrompt } from "@memory-r1/spec";

/** Write these letters, one for each prompt in turn. */
export interface LetterTask {
  readonly id: string;
  readonly letters: string;
}

export interface LetterEpisode extends Episode {
  readonly written: readonly string[];
  readonly task: LetterTask;
}

export interface LetterEnvironmentOptions {
  readonly tasks: readonly LetterTask[];
  /** Overrides the reward of an episode. */
  readonly reward?: (episode: LetterEpisode) => number | undefined;
}

/** Reward: the share of prompts whose completion begins with the right letter. */
export function createLetterEnvironment(
  options: LetterEnvironmentOptions,
): Environment<LetterTask, LetterEpisode> {
  return {
    name: "letters",
    tasks: async () => options.tasks,
    taskId: (task) => task.id,
    start(task) {
      const written: string[] = [];
      return {
        task,
        written,
        async nextPrompt(): Promise<PolicyPrompt | undefined> {
          if (written.length === task.letters.length) return undefined;
          return { messages: [{ role: "user", content: [task.id, ...written].join("/") }] };
        },
        async act(completion: GeneratedText) {
          written.push(completion.text.slice(0, 1));
        },
      };
    },
    async rewards(episodes) {
      return episodes.map((episode) => {
        const right = Array.from(episode.task.letters).filter(
          (letter, position) => episode.written[position] === letter,
        ).length;
        return {
          reward:
            options.reward === undefined
              ? right / episode.task.letters.length
              : options.reward(episode),
          metrics: { right, written: episode.written.length },
        };
      });
    },
  };
}
