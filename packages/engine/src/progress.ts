/** What a set-up step says while it works, for a progress line. */
export interface SetupProgress {
  readonly stage: "python" | "environment" | "model" | "embedding" | "reranker" | "start";
  readonly message: string;
}

export type OnSetupProgress = (progress: SetupProgress) => void;
