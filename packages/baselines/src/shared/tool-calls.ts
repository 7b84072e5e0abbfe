import { type Constraint, HarnessError, parseJson } from "@memory-r1/spec";
import { z } from "zod";

export type ToolResult =
  | { readonly status: "done"; readonly output: string }
  | { readonly status: "failed"; readonly reason: string };

/** A function that the model can call by name. `Context` is what it works on: the memory, and which turn is the occasion. */
export interface Tool<Context> {
  readonly name: string;
  readonly description: string;
  /** The arguments that the model is told of; each parameter has a description. */
  readonly parameters: z.ZodObject;
  /** Checks the arguments and calls the function. Wrong arguments are a failure with a reason, never an exception. */
  readonly run: (given: unknown, context: Context) => Promise<ToolResult>;
}

export function createTool<Parameters extends z.ZodObject, Context>(tool: {
  readonly name: string;
  readonly description: string;
  readonly parameters: Parameters;
  readonly run: (given: z.output<Parameters>, context: Context) => ToolResult | Promise<ToolResult>;
}): Tool<Context> {
  return {
    ...tool,
    run: async (given, context) => {
      const parsed = tool.parameters.safeParse(given);
      if (parsed.success) return tool.run(parsed.data, context);
      const issue = parsed.error.issues[0];
      const where = issue?.path.map(String).join(".") ?? "";
      return failed(
        `wrong arguments${where === "" ? "" : `, at ${where}`}: ${issue?.message ?? "they do not match"}`,
      );
    },
  };
}

/** A number from 0, which models write as a text now and then. */
export const wholeNumber = z.preprocess(
  (value) => (typeof value === "string" && /^\s*\d+\s*$/.test(value) ? Number(value) : value),
  z.int().min(0),
);

export const done = (output: string): ToolResult => ({ status: "done", output });
export const failed = (reason: string): ToolResult => ({ status: "failed", reason });

/** The functions as a prompt lists them: a line each, with a line for each parameter below it. */
export function describeTools(tools: readonly Tool<never>[]): string {
  return tools
    .flatMap(({ name, description, parameters }) => [
      `- ${name}: ${description}`,
      ...Object.entries(jsonSchemaOf(parameters).properties ?? {}).map(([parameter, schema]) =>
        typeof schema === "boolean"
          ? `    ${parameter}`
          : `    ${parameter} (${typeName(schema)}): ${schema.description ?? ""}`,
      ),
    ])
    .join("\n");
}

/**
 * The form of a reply that calls one of the functions: `{"thoughts", "function", "arguments"}`, keys in this order.
 * @param maxCharacters of each text in it, so that a reply ends before its tokens do
 */
export function toolCallConstraint(
  tools: readonly Tool<never>[],
  maxCharacters: number,
): Constraint {
  const text = { type: "string", maxLength: maxCharacters };
  const calls = tools.map(({ name, parameters }) => {
    const properties = {
      thoughts: text,
      function: { const: name },
      arguments: jsonSchemaOf(parameters, maxCharacters),
    };
    return {
      type: "object",
      properties,
      required: Object.keys(properties),
      additionalProperties: false,
    };
  });
  return { type: "json_schema", value: JSON.stringify({ anyOf: calls }) };
}

export interface ToolCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly thoughts: string;
}

/** `text`: there is no JSON object in the reply, so it calls nothing. `unparsable`: there is one of another form. */
export type ParsedReply =
  | { readonly status: "call"; readonly call: ToolCall }
  | { readonly status: "text" }
  | { readonly status: "unparsable"; readonly reason: string };

const replySchema = z.object({
  thoughts: z.string().default(""),
  function: z.string(),
  arguments: z.record(z.string(), z.unknown()),
});

/** Reads a reply; text around its JSON object, such as a code fence, is passed over. Never throws on what a model wrote. */
export function parseToolCall(text: string): ParsedReply {
  const start = text.indexOf("{");
  if (start < 0) return { status: "text" };
  try {
    const reply = parseJson(text.slice(start, text.lastIndexOf("}") + 1), replySchema, "the reply");
    const { function: name, arguments: given, thoughts } = reply;
    return { status: "call", call: { name, arguments: given, thoughts } };
  } catch (error) {
    if (!HarnessError.isInstance(error)) throw error;
    return { status: "unparsable", reason: error.message };
  }
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

function jsonSchemaOf(parameters: z.ZodObject, maxCharacters?: number): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(parameters, {
    override: ({ jsonSchema }) => {
      if (
        maxCharacters !== undefined &&
        jsonSchema.type === "string" &&
        jsonSchema.enum === undefined
      ) {
        // Only the form of a constrained reply is limited: a longer text that came all the same is no wrong argument.
        Object.assign(jsonSchema, { maxLength: maxCharacters });
      }
    },
  });
  return schema;
}

function typeName({ enum: values, type, anyOf }: JsonSchema): string {
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(" or ");
  const names = [type ?? (anyOf ?? []).map((option) => option.type ?? "any")].flat(2);
  const known = names.filter((name) => name !== "null").join(" or ");
  return names.includes("null") ? `${known}, optional` : known;
}
