import type { ChatMessage, Constraint, GeneratedText } from "./chat.ts";

/** What an episode wants sampled next. */
export interface PolicyPrompt {
  readonly messages: readonly ChatMessage[];
  readonly constraint?: Constraint;
}

/** The value of an episode. `undefined` reward: it could not be scored (a failed call), so its sample is masked. */
export interface EpisodeReward {
  readonly reward: number | undefined;
  /** Additive counts and values for the step's log, such as `operations/ADD` or `unparsable`. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** One rollout of one task: one decision (the Answer Agent) or several (a Manager's facts in turn). */
export interface Episode {
  /** The next prompt; undefined when the episode has ended. */
  nextPrompt(): Promise<PolicyPrompt | undefined>;
  /** Takes the completion of the prompt last given. Never throws on what a model wrote. */
  act(completion: GeneratedText): Promise<void>;
}

/** A training environment over tasks of one kind: index-addressed, so that a resumed run needs the step alone. */
export interface Environment<Task, E extends Episode = Episode> {
  readonly name: string;
  /** The tasks of a step: a pure function of (step, seed). */
  tasks(step: number): Promise<readonly Task[]>;
  taskId(task: Task): string;
  start(task: Task): E;
  /** Rewards of all finished episodes of a step in order, scored together so that one batch can answer them. */
  rewards(episodes: readonly E[]): Promise<readonly EpisodeReward[]>;
}
