const marker = Symbol.for("memory-r1.error");

/** Base of every error that this project throws on purpose. `isInstance` works across package copies. */
export class HarnessError extends Error {
  readonly [marker] = true;
  readonly code: string;
  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
  }
  static isInstance(value: unknown): value is HarnessError {
    return typeof value === "object" && value !== null && marker in value;
  }
}

/** The user can mend it: shown as message only, exit code 2. The message names the fix. */
export class ConfigError extends HarnessError {
  constructor(message: string, cause?: unknown) {
    super("config", message, cause);
  }
}

/** Bytes are not the ones that were promised (checksum). Exit code 2. */
export class DataIntegrityError extends HarnessError {
  constructor(options: { file: string; expected: string; found: string; fix: string }) {
    super(
      "data_integrity",
      `${options.file}: sha256 is ${options.found}, expected ${options.expected}. ${options.fix}`,
    );
  }
}

/** Content does not have the documented form. Exit code 2. */
export class DataFormatError extends HarnessError {
  constructor(options: {
    source: string;
    path: string;
    problem: string;
    fix: string;
    cause?: unknown;
  }) {
    const where = options.path === "" ? options.source : `${options.source}, at ${options.path}`;
    super(
      "data_format",
      `${where}: ${options.problem}. What to do: ${options.fix}.`,
      options.cause,
    );
  }
}

/** A call to a model server failed. `status` is the HTTP status, absent when no answer came. */
export class ModelCallError extends HarnessError {
  readonly status: number | undefined;
  readonly retryable: boolean;
  constructor(message: string, options: { status?: number; retryable: boolean; cause?: unknown }) {
    super("model_call", message, options.cause);
    this.status = options.status;
    this.retryable = options.retryable;
  }
}

/** The engine process is gone or cannot be reached: the run stops and can be resumed. Exit code 1. */
export class EngineLostError extends HarnessError {
  constructor(message: string, cause?: unknown) {
    super("engine_lost", message, cause);
  }
}

/** An operation cannot be applied to this bank; the bank is unchanged. */
export class MemoryOperationError extends HarnessError {
  constructor(message: string) {
    super("memory_operation", message);
  }
}

/** Someone else wrote to the bank since it was read; nothing was applied. Read it again and decide again. */
export class VersionConflictError extends HarnessError {
  readonly expected: number;
  readonly found: number;
  constructor(bankId: string, expected: number, found: number) {
    super(
      "version_conflict",
      `Bank "${bankId}" is at version ${found}, the operations were decided on version ${expected}. Read the bank again and decide again.`,
    );
    this.expected = expected;
    this.found = found;
  }
}

/** A store's database cannot be reached, is busy for too long, or refuses. What was not confirmed is not stored. */
export class StoreError extends HarnessError {
  constructor(message: string, cause?: unknown) {
    super("store", message, cause);
  }
}

/** A number that must be finite is not. */
export class NonFiniteError extends HarnessError {
  constructor(name: string, step: number, value: number) {
    super("non_finite", `${name} is ${value} at step ${step}`);
  }
}

/** A run folder does not belong to the configuration, data or code that wants to resume it. Exit code 2. */
export class ResumeMismatchError extends HarnessError {
  constructor(message: string) {
    super("resume_mismatch", message);
  }
}
