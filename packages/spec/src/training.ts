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

/** A validation as the run's log has it. */
export interface ObservedValidation {
  /** Steps done before it. */
  readonly step: number;
  readonly healthy: boolean;
  readonly metrics: Readonly<Record<string, number>>;
}

/** A training environment over tasks of one kind: index-addressed, so that a resumed run needs the step and its log alone. */
export interface Environment<Task, E extends Episode = Episode> {
  readonly name: string;
  /** The tasks of a step: a pure function of (step, seed) and of the validations observed. */
  tasks(step: number): Promise<readonly Task[]>;
  taskId(task: Task): string;
  start(task: Task): E;
  /**
   * Rewards of finished episodes in order, scored together so that one batch can answer them. Can be asked for a part of
   * a step's episodes as soon as these have ended, while others are still sampled; several such calls can be under way.
   */
  rewards(episodes: readonly E[]): Promise<readonly EpisodeReward[]>;
  /**
   * Further tasks of a step, which begin where its episodes came by, such as a session played again from one rollout's
   * memory. Asked once, after the episodes of `tasks(step)` have ended, with those that could be played to their end.
   * Each task is a group of its own and joins the step's update. A pure function of (step, seed, episodes).
   */
  localTasks?(step: number, episodes: readonly E[]): Promise<readonly Task[]>;
  /** How many rollouts a task's group has; undefined: as many as configured. */
  samplesOf?(task: Task): number | undefined;
  /**
   * Hears of every validation in order, before the tasks of a later step are asked for: of those in the log when a run is
   * resumed, then of each new one. What an environment keeps between steps is a function of these.
   */
  observe?(validation: ObservedValidation): void;
}
