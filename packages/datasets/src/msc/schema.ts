import { z } from "zod";

/** What is known of the two speakers, Speaker 1 first. */
const personasSchema = z.tuple([z.array(z.string()), z.array(z.string())]);

export const previousTurnSchema = z.looseObject({ text: z.string() });

/** A session before the last; its turns do not say who speaks. */
export const previousDialogSchema = z.looseObject({
  /** What each speaker told of himself in this session. */
  personas: personasSchema,
  dialog: z.array(previousTurnSchema),
  /** Between this session and the next. */
  time_num: z.number(),
  time_unit: z.string().min(1),
  /** Up to the last session: the gaps added up. */
  time_back: z.string().min(1),
});
export type PreviousDialog = z.infer<typeof previousDialogSchema>;

export const saidTurnSchema = z.looseObject({
  text: z.string(),
  /** `Speaker 1`, `Speaker 2`, or the number of the worker who wrote the turn. */
  id: z
    .string()
    .regex(
      /^(?:Speaker [12]|\d+)$/,
      'must be "Speaker 1", "Speaker 2" or the number of a crowd worker',
    ),
  convai2_id: z.string().optional(),
  /** `poor`: another worker found the turn bad. */
  rating: z.string().optional(),
});
export type SaidTurn = z.infer<typeof saidTurnSchema>;

export const metadataSchema = z.looseObject({
  initial_data_id: z.string().min(1),
  /** The number of sessions before this one. */
  session_id: z.int().min(0),
});

/** The last session of a row. */
const dialogSchema = z.array(saidTurnSchema).min(1, "holds no turn");

/** A line of ParlAI's `session_<k>_<part>.txt`. */
export const mscRowSchema = z
  .looseObject({
    /** What was known of the speakers before the last session: the lists of the sessions before, merged and reworded. */
    personas: personasSchema,
    dialog: dialogSchema,
    metadata: metadataSchema,
    previous_dialogs: z.array(previousDialogSchema),
    /** What the speakers of session 1 were told to be. */
    init_personas: personasSchema,
  })
  .superRefine((row, context) => {
    const [found, expected] = [row.previous_dialogs.length, row.metadata.session_id];
    if (found === expected) return;
    context.addIssue({
      code: "custom",
      path: ["previous_dialogs"],
      message: `holds ${found} sessions where metadata.session_id says ${expected}`,
    });
  });

/** B asks A for something that A said in an earlier session; A's reply is the gold answer. */
export const selfInstructSchema = z.looseObject({ B: z.string().min(1), A: z.string().min(1) });

/**
 * A line of MSC-Self-Instruct. Its keys are known second-hand: what is not needed for the task may have any form, which is noted
 * where it differs from the described one.
 */
export const selfInstructRowSchema = z.looseObject({
  dialog: dialogSchema,
  previous_dialogs: z.array(previousDialogSchema.extend({ personas: z.json().optional() })),
  metadata: z.json().optional(),
  personas: z.json().optional(),
  init_personas: z.json().optional(),
  personas_update1: z.json().optional(),
  personas_update2: z.json().optional(),
  self_instruct: selfInstructSchema,
  /** For each session the facts that it told of the speaker, see `parseFacts`. */
  summary_speaker_1: z.json().optional(),
  summary_speaker_2: z.json().optional(),
});
export type SelfInstructRow = z.infer<typeof selfInstructRowSchema>;
