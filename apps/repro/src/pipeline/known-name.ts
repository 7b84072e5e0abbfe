import { ConfigError } from "@memory-r1/spec";

/** A name that a configuration gives, as the key of the registry that it must be. @throws ConfigError listing the keys */
export function knownName<Name extends string>(
  kind: string,
  name: string,
  registry: Readonly<Record<Name, unknown>>,
): Name {
  if (isKeyOf(registry, name)) return name;
  throw new ConfigError(
    `There is no ${kind} "${name}". Known: ${Object.keys(registry).join(", ")}.`,
  );
}

function isKeyOf<Name extends string>(
  registry: Readonly<Record<Name, unknown>>,
  name: string,
): name is Name {
  return Object.hasOwn(registry, name);
}
