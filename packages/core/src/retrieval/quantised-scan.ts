/**
 * Rows of 8-bit integers in memory that WebAssembly's SIMD instructions read: a quarter of the bytes of 32-bit floats,
 * and 16 products in six instructions. The integer sums are exact; what a vector lost when it was made of integers is
 * the caller's to bound. Why not a library: the current usearch needs Node 22 and has no binary for every platform, and
 * SimSIMD computes one pair per call.
 */
export interface QuantisedScan {
  /** Row `number` (0, 1, 2, ...) becomes `values`, one for each dimension. The memory grows as needed. */
  setRow(number: number, values: Int8Array): void;
  /** The query, for all calls of `sums` until the next: integers within `queryLimit`. */
  setQuery(values: Int16Array): void;
  /** Most that a query's integer may be, so that no sum overflows 32 bits. */
  readonly queryLimit: number;
  /** The sum of products of the query and each row named: at most `blockSize` numbers. Valid until the next call. */
  sums(numbers: Int32Array): Int32Array;
}

/** How many rows are scanned by one call of the module. */
export const blockSize = 4096;

const pageBytes = 65_536;

/** quantised-scan.wat, compiled by wabt; a test compiles it again and compares. */
export const scanModuleBase64 =
  "AGFzbQEAAAABCgFgBn9/f39/fwACDwEDZW52Bm1lbW9yeQIAAQMCAQAHCAEEc2NhbgAACtkBAdYBAgR/AnsgASACQQJ0aiEGAkADQCABIAZPDQEgAyABKAIAIARsaiEHIAcgBGohCCAAIQn9DAAAAAAAAAAAAAAAAAAAAAAhCv0MAAAAAAAAAAAAAAAAAAAAACELA0AgCiAH/QEDACAJ/QAEAP26Af2uASEKIAsgB/0BAwggCf0ABBD9ugH9rgEhCyAHQRBqIQcgCUEgaiEJIAcgCEkNAAsgCiAL/a4BIQogBSAK/RsAIAr9GwFqIAr9GwIgCv0bA2pqNgIAIAVBBGohBSABQQRqIQEMAAsLCw==";

// TypeScript's types of WebAssembly come with those of a browser only. Node without a compiler (--jitless) has none.
declare const WebAssembly:
  | {
      validate(bytes: Uint8Array): boolean;
      Module: new (bytes: Uint8Array) => object;
      Instance: new (
        module: object,
        imports: { readonly env: { readonly memory: WasmMemory } },
      ) => {
        readonly exports: {
          scan(
            query: number,
            numbers: number,
            count: number,
            rows: number,
            rowBytes: number,
            results: number,
          ): void;
        };
      };
      Memory: new (descriptor: { readonly initial: number }) => WasmMemory;
    }
  | undefined;

interface WasmMemory {
  readonly buffer: ArrayBuffer;
  /** @throws RangeError where there is no more memory. */
  grow(pages: number): number;
}

/**
 * Undefined where this Node or this processor has no WebAssembly SIMD, or no memory for it can be reserved.
 * @param dimensions of every row and of the query, from 1.
 */
export function createQuantisedScan(dimensions: number): QuantisedScan | undefined {
  if (typeof WebAssembly === "undefined") return undefined;
  const bytes = Uint8Array.from(Buffer.from(scanModuleBase64, "base64"));
  if (!WebAssembly.validate(bytes)) return undefined;

  const rowBytes = Math.ceil(dimensions / 16) * 16;
  const queryAddress = 0;
  const numbersAddress = rowBytes * 2;
  const resultsAddress = numbersAddress + blockSize * 4;
  const rowsAddress = Math.ceil((resultsAddress + blockSize * 4) / 16) * 16;
  let memory: WasmMemory;
  try {
    memory = new WebAssembly.Memory({ initial: Math.ceil(rowsAddress / pageBytes) });
  } catch (cause) {
    // A limit on the process's address space: the caller does without.
    if (cause instanceof RangeError) return undefined;
    throw cause;
  }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });

  const makeRoom = (lastByte: number): void => {
    const missing = Math.ceil((lastByte - memory.buffer.byteLength) / pageBytes);
    // An eighth more, so that growing one row at a time stays cheap.
    if (missing > 0) memory.grow(missing + Math.ceil(memory.buffer.byteLength / 8 / pageBytes));
  };
  return {
    queryLimit: Math.min(32_767, Math.floor((2 ** 31 - 1) / (128 * rowBytes))),
    setRow: (number, values) => {
      const start = rowsAddress + number * rowBytes;
      makeRoom(start + rowBytes);
      new Int8Array(memory.buffer, start, dimensions).set(values);
    },
    setQuery: (values) => {
      new Int16Array(memory.buffer, queryAddress, dimensions).set(values);
    },
    sums: (numbers) => {
      new Int32Array(memory.buffer, numbersAddress, blockSize).set(numbers);
      exports.scan(
        queryAddress,
        numbersAddress,
        numbers.length,
        rowsAddress,
        rowBytes,
        resultsAddress,
      );
      return new Int32Array(memory.buffer, resultsAddress, numbers.length);
    },
  };
}
