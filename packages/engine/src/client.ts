import {
  ConfigError,
  EngineLostError,
  ModelCallError,
  createModelResponseSchema,
  createSamplingSessionResponseSchema,
  createSessionResponseSchema,
  forwardBackwardOutputSchema,
  futureSchema,
  optimStepOutputSchema,
  sampleOutputSchema,
  saveWeightsForSamplerOutputSchema,
  saveWeightsOutputSchema,
  serverCapabilitiesSchema,
  tensorDataSchema,
  type AdamParams,
  type ForwardBackwardInput,
  type ForwardBackwardOutput,
  type LoraConfig,
  type ModelRole,
  type SampleOutput,
  type SampleRequest,
  type ServerCapabilities,
} from "@memory-r1/spec";
import pLimit, { type LimitFunction } from "p-limit";
import { z } from "zod";
import { engineDialects, type EngineDialectName, type EngineFeature } from "./dialects.ts";
import { createTranslation, type EngineFacts, type SampleInput } from "./translate.ts";
import { createTransport, type TransportOptions } from "./transport.ts";

export interface EngineClientOptions extends TransportOptions {
  /** Which engine answers there; default the protocol's own. */
  readonly dialect?: EngineDialectName | undefined;
  /** Needed by the dialects of engines that do not check their requests. */
  readonly facts?: EngineFacts | undefined;
}

export type { SampleInput } from "./translate.ts";

/** One request of a wave. A failed one leaves the others as they are. */
export type SampleResult =
  | { readonly status: "completed"; readonly output: SampleOutput }
  | { readonly status: "failed"; readonly error: ModelCallError };

export interface CreateModelOptions {
  readonly sessionId: string;
  /** One of `supported_models` of the capabilities. */
  readonly baseModel: string;
  readonly role: ModelRole;
  readonly lora: LoraConfig;
}

/**
 * A typed view of the protocol of spec/engine-protocol.ts.
 *
 * Requests of one model reach the engine in the order of the calls, so that `forwardBackward` and `optimStep` may be
 * called without awaiting the first. The client numbers them (`seq_id`, from 1) and repeats forward, forwardBackward,
 * optimStep and samples after a broken connection or a transient status with the same number and body, which the engine
 * answers with the same future. Nothing else is repeated.
 *
 * Every method rejects with EngineLostError when the engine is gone, ModelCallError when it answered with an error,
 * DataFormatError when its answer has another form, ConfigError for an id this client did not make, or the abort
 * signal's reason.
 */
export interface EngineClient {
  readonly baseUrl: string;
  readonly dialect: EngineDialectName;
  /** What the engine has not, with the reason; a call that would need it rejects with ConfigError. */
  readonly lacks: Partial<Readonly<Record<EngineFeature, string>>>;
  healthz(): Promise<void>;
  getServerCapabilities(): Promise<ServerCapabilities>;
  /** Returns the session's id. */
  createSession(): Promise<string>;
  /** Returns the model's id when the model is ready to train. */
  createModel(options: CreateModelOptions): Promise<string>;
  /** Frees what the engine holds for the model; its id is not used again. */
  unloadModel(modelId: string): Promise<void>;
  /** Log-probabilities (policy) or values (critic) of the datums, with no gradient. */
  forward(modelId: string, input: ForwardBackwardInput): Promise<ForwardBackwardOutput>;
  /** Adds the gradient of the loss to what the model has accumulated. */
  forwardBackward(modelId: string, input: ForwardBackwardInput): Promise<ForwardBackwardOutput>;
  /** Takes one Adam step with the accumulated gradients and clears them. Returns the metrics. */
  optimStep(modelId: string, adamParams: AdamParams): Promise<Readonly<Record<string, number>>>;
  /** Writes adapter and optimiser under a new name (letters, digits, `_`, `-`). Returns the path for `loadWeights`. */
  saveWeights(modelId: string, name: string): Promise<string>;
  /** Right after `createModel` only. `optimizer`: also moments and step count, to go on with training. */
  loadWeights(
    modelId: string,
    path: string,
    options: { readonly optimizer: boolean },
  ): Promise<void>;
  /** A sampling session of the model's weights as they are now. Returns its id. */
  saveWeightsForSampler(modelId: string): Promise<string>;
  /** Keeps the weights of now under a name for `createSamplingSession({modelPath})`. Returns the path. */
  saveNamedWeightsForSampler(modelId: string, name: string): Promise<string>;
  /** A sampling session of the untouched base model or of saved weights. Returns its id. */
  createSamplingSession(
    sessionId: string,
    source: { readonly baseModel: string } | { readonly modelPath: string },
  ): Promise<string>;
  /** One prompt; it runs with whatever else waits at the engine. */
  sample(samplingSessionId: string, input: SampleInput): Promise<SampleOutput>;
  /**
   * All prompts as one batch whose composition does not depend on arrival times. Resolves in the order of the inputs;
   * a request that the engine rejects is `failed` alone.
   */
  sampleWave(
    samplingSessionId: string,
    inputs: readonly SampleInput[],
  ): Promise<readonly SampleResult[]>;
}

interface ModelState {
  readonly sessionId: string;
  nextSeqId: number;
  /** Holds the POST of one request until the one before it has been answered. */
  readonly inOrder: LimitFunction;
  /** Calls of forwardBackward since the last step. */
  pendingGradients: number;
  /** The only sampler that has the model's weights as they are, while they stay so. */
  currentSampler: string | undefined;
}

interface SamplingState {
  nextSeqId: number;
  /** Where it was made of a model in training. */
  readonly modelId?: string;
}

/** Sockets used at once to hand in a wave and to wait for it: a wave may hold hundreds of prompts. */
const samplingConnections = 32;

const anyObjectSchema = z.looseObject({});

/** An engine of another dialect says less about itself, and more about losses. */
const supportedModelsSchema = serverCapabilitiesSchema.pick({ supported_models: true });
const wireOutputSchema = forwardBackwardOutputSchema.extend({
  loss_fn_outputs: z.array(
    forwardBackwardOutputSchema.shape.loss_fn_outputs.element.extend({
      elementwise_loss: tensorDataSchema.optional(),
    }),
  ),
});

/** Connects nothing by itself: the first call does. */
export function createEngineClient(options: EngineClientOptions): EngineClient {
  const transport = createTransport(options);
  const dialect = options.dialect ?? "memory-r1";
  const translation = createTranslation(dialect, engineDialects[dialect], options.facts);
  const repeats = translation.lacks.repeats === undefined;
  const nextSamplingSessionSeqIds = new Map<string, number>();
  const models = new Map<string, ModelState>();
  const samplers = new Map<string, SamplingState>();
  const submitLimit = pLimit(samplingConnections);
  // A limit of its own: long-polls of one wave never keep the next wave from being handed in.
  const retrieveLimit = pLimit(samplingConnections);

  function modelState(modelId: string): ModelState {
    const state = models.get(modelId);
    if (state === undefined)
      throw new ConfigError(
        `model "${modelId}" was not made by this client: use an id that its createModel returned`,
      );
    return state;
  }

  function samplingState(samplingSessionId: string): SamplingState {
    const state = samplers.get(samplingSessionId);
    if (state === undefined)
      throw new ConfigError(
        `sampling session "${samplingSessionId}" was not made by this client: ` +
          "use an id that createSamplingSession or saveWeightsForSampler returned",
      );
    return state;
  }

  /** @throws ConfigError where the engine would sample other weights than those that the session was made of. */
  function checkSampler(samplingSessionId: string, { modelId }: SamplingState): void {
    if (translation.samplers === "as-made" || modelId === undefined) return;
    if (models.get(modelId)?.currentSampler !== samplingSessionId)
      throw new ConfigError(
        `sampling session "${samplingSessionId}" is older than the weights of its model, and an engine of ${dialect} ` +
          "samples the newest only: call saveWeightsForSampler again",
      );
  }

  function nextSamplingSessionSeqId(sessionId: string): number {
    const seqId = nextSamplingSessionSeqIds.get(sessionId);
    if (seqId === undefined)
      throw new ConfigError(
        `session "${sessionId}" was not made by this client: use an id that its createSession returned`,
      );
    nextSamplingSessionSeqIds.set(sessionId, seqId + 1);
    return seqId;
  }

  /** A request of a model: numbered now, sent in turn, its result awaited beside the next ones. */
  async function modelCall<T>(
    modelId: string,
    path: string,
    body: (seqId: number) => unknown,
    schema: z.ZodType<T>,
    idempotent: boolean,
  ): Promise<T> {
    const state = modelState(modelId);
    const seqId = state.nextSeqId++;
    const future = await state.inOrder(() =>
      transport.post(path, body(seqId), futureSchema, { idempotent }),
    );
    return transport.retrieve(future.request_id, schema);
  }

  const submitSample = async (request: SampleRequest): Promise<{ request_id: string }> => {
    const sent = { ...request, ...translation.sample(request) };
    return submitLimit(() =>
      transport.post("/asample", sent, futureSchema, { idempotent: repeats }),
    );
  };

  const retrieveSample = async (requestId: string): Promise<SampleOutput> =>
    translation.sampled(
      await retrieveLimit(() => transport.retrieve(requestId, sampleOutputSchema)),
    );

  async function runPass(
    modelId: string,
    kind: "forward" | "forward_backward",
    input: ForwardBackwardInput,
  ): Promise<ForwardBackwardOutput> {
    const wire = translation.pass(input);
    const output = await modelCall(
      modelId,
      `/${kind}`,
      (seqId) => ({ model_id: modelId, [`${kind}_input`]: wire.input, seq_id: seqId }),
      wireOutputSchema,
      repeats,
    );
    return wire.read(output);
  }

  /** ModelCallError becomes a value; everything else ends the wave. */
  async function settled<T>(promise: Promise<T>): Promise<T | ModelCallError> {
    try {
      return await promise;
    } catch (error) {
      if (error instanceof ModelCallError) return error;
      throw error;
    }
  }

  async function sampleWave(
    samplingSessionId: string,
    inputs: readonly SampleInput[],
  ): Promise<readonly SampleResult[]> {
    const state = samplingState(samplingSessionId);
    checkSampler(samplingSessionId, state);
    const firstSeqId = state.nextSeqId;
    state.nextSeqId += inputs.length;
    const wave =
      translation.lacks.waves === undefined
        ? { wave: { id: `${samplingSessionId}/${firstSeqId}`, size: inputs.length } }
        : {};
    // Every request is handed in before any result is awaited: the engine starts when the wave is whole.
    const futures = await Promise.all(
      inputs.map((input, position) =>
        settled(
          submitSample({
            ...input,
            sampling_session_id: samplingSessionId,
            seq_id: firstSeqId + position,
            ...wave,
          }),
        ),
      ),
    );
    const accepted = inputs.filter((_, position) => !(futures[position] instanceof ModelCallError));
    if (accepted.length < inputs.length && translation.lacks.waves === undefined) {
      // The wave can never be whole: what was accepted of it is handed in anew, as a wave of its own.
      const repeated = accepted.length === 0 ? [] : await sampleWave(samplingSessionId, accepted);
      const results = repeated.values();
      return futures.map((future): SampleResult => {
        if (future instanceof ModelCallError) return { status: "failed", error: future };
        const next = results.next();
        if (next.done) throw new EngineLostError("the engine left a repeated wave unanswered");
        return next.value;
      });
    }
    return Promise.all(
      futures.map(async (future): Promise<SampleResult> => {
        if (future instanceof ModelCallError) return { status: "failed", error: future };
        const output = await settled(retrieveSample(future.request_id));
        return output instanceof ModelCallError
          ? { status: "failed", error: output }
          : { status: "completed", output };
      }),
    );
  }

  return {
    baseUrl: options.baseUrl,
    dialect,
    lacks: translation.lacks,
    async healthz() {
      await transport.get("/healthz", anyObjectSchema);
    },
    async getServerCapabilities() {
      const path = "/get_server_capabilities";
      if (translation.capabilities === "declared")
        return transport.get(path, serverCapabilitiesSchema);
      const { supported_models } = await transport.get(path, supportedModelsSchema);
      return translation.capabilities(supported_models);
    },
    async createSession() {
      const answer = await transport.post(
        "/create_session",
        { tags: [], user_metadata: {}, sdk_version: "memory-r1" },
        createSessionResponseSchema,
        { idempotent: false },
      );
      nextSamplingSessionSeqIds.set(answer.session_id, 0);
      return answer.session_id;
    },
    async createModel({ sessionId, baseModel, role, lora }) {
      const loraConfig = translation.model(role, lora);
      const answer = await transport.post(
        "/create_model",
        { session_id: sessionId, base_model: baseModel, lora_config: loraConfig, model_role: role },
        createModelResponseSchema,
        { idempotent: false },
      );
      await transport.retrieve(answer.request_id, anyObjectSchema);
      models.set(answer.model_id, {
        sessionId,
        nextSeqId: 1,
        inOrder: pLimit(1),
        pendingGradients: 0,
        currentSampler: undefined,
      });
      return answer.model_id;
    },
    async unloadModel(modelId) {
      const { inOrder } = modelState(modelId);
      const future = await inOrder(() =>
        transport.post("/unload_model", { model_id: modelId }, futureSchema, { idempotent: false }),
      );
      await transport.retrieve(future.request_id, anyObjectSchema);
      models.delete(modelId);
    },
    forward: (modelId, input) => runPass(modelId, "forward", input),
    async forwardBackward(modelId, input) {
      const state = modelState(modelId);
      if (state.pendingGradients > 0) translation.ensureOffered("accumulation");
      state.pendingGradients += 1;
      try {
        return await runPass(modelId, "forward_backward", input);
      } catch (error) {
        state.pendingGradients -= 1;
        throw error;
      }
    },
    async optimStep(modelId, adamParams) {
      const state = modelState(modelId);
      const parameters = translation.adam(adamParams);
      state.pendingGradients = 0;
      state.currentSampler = undefined;
      const output = await modelCall(
        modelId,
        "/optim_step",
        (seqId) => ({ model_id: modelId, adam_params: parameters, seq_id: seqId }),
        optimStepOutputSchema,
        repeats,
      );
      return translation.metrics(output.metrics);
    },
    async saveWeights(modelId, name) {
      const output = await modelCall(
        modelId,
        "/save_weights",
        (seqId) => ({ model_id: modelId, path: name, seq_id: seqId }),
        saveWeightsOutputSchema,
        false,
      );
      return output.path;
    },
    async loadWeights(modelId, path, { optimizer }) {
      if (!optimizer) translation.ensureOffered("sampler-start");
      modelState(modelId).currentSampler = undefined;
      await modelCall(
        modelId,
        "/load_weights",
        (seqId) => ({ model_id: modelId, path, optimizer, seq_id: seqId }),
        anyObjectSchema,
        false,
      );
    },
    async saveWeightsForSampler(modelId) {
      const samplingSessionSeqId = nextSamplingSessionSeqId(modelState(modelId).sessionId);
      const output = await modelCall(
        modelId,
        "/save_weights_for_sampler",
        (seqId) => ({
          model_id: modelId,
          sampling_session_seq_id: samplingSessionSeqId,
          seq_id: seqId,
        }),
        saveWeightsForSamplerOutputSchema,
        false,
      );
      if (output.sampling_session_id === null)
        throw new ModelCallError(
          "save_weights_for_sampler: the engine made no sampling session although no path was given",
          { retryable: false },
        );
      samplers.set(output.sampling_session_id, { nextSeqId: 1, modelId });
      modelState(modelId).currentSampler = output.sampling_session_id;
      return output.sampling_session_id;
    },
    async saveNamedWeightsForSampler(modelId, name) {
      const output = await modelCall(
        modelId,
        "/save_weights_for_sampler",
        (seqId) => ({ model_id: modelId, path: name, seq_id: seqId }),
        saveWeightsForSamplerOutputSchema,
        false,
      );
      if (output.path === null)
        throw new ModelCallError(
          `save_weights_for_sampler: the engine gave no path for the weights named "${name}"`,
          { retryable: false },
        );
      return output.path;
    },
    async createSamplingSession(sessionId, source) {
      translation.ensureOffered("baseModel" in source ? "base-sampling" : "kept-samplers");
      const answer = await transport.post(
        "/create_sampling_session",
        {
          session_id: sessionId,
          sampling_session_seq_id: nextSamplingSessionSeqId(sessionId),
          ...("baseModel" in source
            ? { base_model: source.baseModel }
            : { model_path: source.modelPath }),
        },
        createSamplingSessionResponseSchema,
        { idempotent: false },
      );
      samplers.set(answer.sampling_session_id, { nextSeqId: 1 });
      return answer.sampling_session_id;
    },
    async sample(samplingSessionId, input) {
      const state = samplingState(samplingSessionId);
      checkSampler(samplingSessionId, state);
      const future = await submitSample({
        ...input,
        sampling_session_id: samplingSessionId,
        seq_id: state.nextSeqId++,
      });
      return retrieveSample(future.request_id);
    },
    sampleWave: async (samplingSessionId, inputs) =>
      inputs.length === 0 ? [] : sampleWave(samplingSessionId, inputs),
  };
}
