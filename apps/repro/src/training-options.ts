import { z } from "zod";

/** How answers are scored for a table and for a reward: names of the metrics registry. */
export const metricName = z.string();

/**
 * What an answer is worth while training: a metric (`squad-em` is the paper's reward, `squad-f1` the graded one for
 * small models), or the verdicts of a judge, which the paper compares in its Table 2: they make answers long.
 */
export const rewardSource = z.union([
  metricName,
  z.strictObject({
    /** A judge of packages/metrics, such as `mem0-j`. */
    judge: z.string(),
    /** Its model, as `repro judge --model` names it; absent: the experiment's own, untrained. */
    model: z.string().optional(),
    /** A chat server of OpenAI's shape that has the model. */
    endpoint: z.url().optional(),
    /** Calls under way at once. */
    concurrency: z.number().int().min(1).default(4),
  }),
]);
export type RewardSource = z.infer<typeof rewardSource>;

const sessionCount = z.number().int().min(1);

/** The Manager's episodes, in training and in validations; see createManagerEnvironment. */
export const managerEpisode = z
  .strictObject({
    /** Facts that an episode decides on before it is scored; the paper's samples are single decisions. */
    facts: z.number().int().min(1).default(1),
    emptyBankShare: z.number().min(0).max(1).default(0.25),
    bankSizes: z.tuple([z.number().int().min(1), z.number().int().min(1)]).default([2, 40]),
    newFactWeight: z.number().min(0).max(1).default(0.5),
    maxNewFactQuestions: z.number().int().min(1).default(2),
    maxShownQuestions: z.number().int().min(0).default(3),
    invalidPenalty: z.number().min(0).default(0.1),
    /**
     * Episodes of so many whole sessions through the Manager's own bank, instead of `facts` (Memory-R2, arXiv
     * 2605.21768). A list is a curriculum: the next number once a validation misses little enough of the evidence.
     */
    sessions: z.union([sessionCount, z.array(sessionCount).min(1)]).optional(),
    /** The curriculum's gate: a smaller share of evidence missing opens the next level (Memory-R2: 0.1). */
    maxEvidenceMissing: z.number().min(0).max(1).default(0.1),
    /** Most questions after an episode of sessions, and after a session that is played again. */
    maxEpisodeQuestions: z.number().int().min(1).default(16),
    /** LoGo-GRPO (Memory-R2): the share of an episode's sessions that are played again from one memory, 0.25 there; 0: none. */
    localShare: z.number().min(0).max(1).default(0),
    /** Rollouts of each. */
    localSamples: z.number().int().min(2).default(4),
    /** Price of a bank beyond the free zone (Memory-R2: 0.2 to 0.3); 0: banks are free. */
    compressionWeight: z.number().min(0).default(0),
    /** Share of the tokens read that a bank may hold for nothing (Memory-R2: 0.7). */
    compressionFreeShare: z.number().min(0).default(0.7),
    /** Facts of each validation conversation that a validation plays, and asks about; "all" is the default. */
    validationFacts: z.union([z.number().int().min(1), z.literal("all")]).default("all"),
    /** 0 plays validations greedily, as the evaluation does; 1 plays the distribution that is trained (docs/log.md says why). */
    validationTemperature: z.number().min(0).default(0),
    /** Times that a validation plays each conversation; more than one needs a temperature. */
    validationSeeds: z.number().int().min(1).default(1),
    /**
     * Evidence missing in a validation from which the run goes back to its best weights, with a fresh optimiser; absent:
     * never. A collapse of Memory-R2 passes 0.15 on its way.
     */
    rollBackMissing: z.number().min(0).max(1).optional(),
  })
  .superRefine((episode, context) => {
    const refuse = (field: string, message: string): void =>
      context.addIssue({ code: "custom", path: [field], message });
    const { sessions } = episode;
    if (episode.localShare > 0 && sessions === undefined)
      refuse("localShare", "plays sessions again: set sessions, too");
    if (Array.isArray(sessions) && sessions.some((count, at) => count <= (sessions[at - 1] ?? 0)))
      refuse("sessions", "a curriculum grows: write each number larger than the one before");
    if (episode.validationSeeds > 1 && episode.validationTemperature === 0)
      refuse("validationSeeds", "greedy play is the same every time: set validationTemperature");
  });
