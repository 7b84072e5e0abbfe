export interface ValueLossOptions {
  /** How far a value may move from that at sampling before its loss stops falling. verl 0.5, TRL 0.2; Infinity is off. */
  readonly clip: number;
}

export interface ValueLoss {
  readonly loss: number;
  /** d loss / d predicted value. */
  readonly slope: number;
  /** The clipped value is the worse one: there is no slope. */
  readonly clipped: boolean;
}

/**
 * The critic's loss of one token: max((v - R)^2, (clip(v, v_old - clip, v_old + clip) - R)^2) / 2, with v the value now,
 * v_old that at sampling and R the return. The engine's `ppo_critic`.
 * Source: verl core_algos.py@b178a3cd5 `compute_value_loss`, TRL ppo_trainer.py@f2cd57710 (which multiplies it by 0.1).
 */
export function computeValueLoss(
  value: number,
  sampledValue: number,
  target: number,
  { clip }: ValueLossOptions,
): ValueLoss {
  const held = Math.min(Math.max(value, sampledValue - clip), sampledValue + clip);
  const free = (value - target) ** 2;
  const bounded = (held - target) ** 2;
  return bounded > free
    ? { loss: bounded / 2, slope: 0, clipped: true }
    : { loss: free / 2, slope: value - target, clipped: false };
}
