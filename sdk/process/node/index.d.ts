// Types of the kit for steps as a process in Node.

/** A value that JSON can hold. A bigint is written as an integer in full. */
export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json | undefined };

/** A value too large for JSON. It may be an output, and an input. */
export interface Reference {
  $artifact: string;
  size: number;
  type: string;
}

export type Bytes = string | Uint8Array | ArrayBuffer;

/** One attempt of a step: what it knows, how it answers, and what it asks of the host. Instants are RFC 3339 in UTC. */
export class Context<Inputs = any, Values = any> {
  private constructor();
  readonly abi: string;
  readonly tenant: string;
  readonly project: string;
  readonly pipeline: string;
  readonly version: string;
  readonly label: string;
  readonly run_id: string;
  readonly step: string;
  readonly function: string;
  readonly attempt: number;
  readonly max_attempts: number;
  readonly idempotency_key: string;
  readonly trigger: "schedule" | "catchup" | "manual" | "rerun" | "backfill";
  readonly schedule: string;
  readonly scheduled_at: string | null;
  readonly interval_start: string | null;
  readonly interval_end: string | null;
  readonly started_at: string;
  readonly deadline: string | null;
  readonly last_success_at: string | null;
  /** What the caller gave the run. */
  readonly context: Values;
  /** What the step's `with` made of it and of earlier outputs. */
  readonly inputs: Inputs;
  /** The element of a fan-out, and its place. */
  readonly item: any;
  readonly item_index: number | null;
  readonly features: string[];
  /** The run context as text. */
  readonly raw: string;
  /** The JSON text of an input as it stands in the run context. */
  rawInput(name: string): string | undefined;

  /** Sets an output. The members of the object that the step returns are outputs too. */
  output(name: string, value: Json): void;
  /** Sets an output to a JSON text, byte for byte. */
  outputRaw(name: string, text: string): void;
  /** Stores a file of any size, and sets the output of its name to its reference. */
  save(name: string, content: Bytes | Iterable<Bytes> | AsyncIterable<Bytes>, type?: string): Promise<void>;
  /** Says how far the step is, from 0 to 1; true when it is being cancelled. */
  progress(fraction: number, message?: string): boolean;
  readonly log: Record<"debug" | "info" | "warn" | "error", (message: unknown) => void>;

  /** Ends when the attempt is to stop. A step that then returns within its grace ends in good order. */
  readonly signal: AbortSignal;
  readonly cancelled: boolean;
  /** Waits; true as soon as the attempt is to stop. */
  sleep(seconds: number): Promise<boolean>;

  /** Requests that the grant `http` allows. A status of 400 or more is an answer, no error. */
  readonly http: {
    request(method: string, url: string, options?: RequestOptions): Promise<Response>;
    get(url: string, options?: RequestOptions): Promise<Response>;
    post(url: string, options?: RequestOptions): Promise<Response>;
    put(url: string, options?: RequestOptions): Promise<Response>;
    delete(url: string, options?: RequestOptions): Promise<Response>;
  };

  /** Values that the pipeline keeps from run to run. What is written counts when the run succeeds. */
  readonly state: {
    get<T = any>(key: string, otherwise?: T): Promise<T>;
    set(key: string, value: Json): Promise<void>;
    delete(key: string): Promise<void>;
    list(prefix?: string): Promise<string[]>;
  };

  readonly artifact: {
    /** Stores at most 8 MiB. save takes more. */
    put(name: string, data: Bytes, type?: string): Promise<Reference>;
    get(ref: Reference, slice?: { offset?: number; length?: number }): Promise<Buffer>;
    /** The bytes of an artifact of any size, in pieces. */
    read(ref: Reference): AsyncIterable<Buffer>;
    text(ref: Reference): Promise<string>;
  };

  /** A secret that the manifest exposes to the plugin. */
  secret(name: string): Promise<string>;
  /** Emits an event and returns its id. */
  emit(type: string, data?: Json, subject?: string): Promise<string>;
  /** What the host is and can. */
  info(): Promise<any>;
  /** Calls a service by the name of its operation. */
  call(op: string, request?: Json, body?: Bytes): Promise<any>;
  callBytes(op: string, request?: Json, body?: Bytes): Promise<Buffer>;
}

export interface RequestOptions {
  headers?: Record<string, string>;
  body?: Bytes;
  /** A value that becomes the body. */
  json?: Json;
  /** Seconds. */
  timeout?: number;
  /** A name under which the body of the response is stored. */
  artifact?: string;
}

export class Response {
  private constructor();
  readonly status: number;
  /** Names are in lower case. */
  readonly headers: Record<string, string>;
  /** Where the body was stored, if the request said so. */
  readonly artifact?: Reference;
  /** True below 400. */
  readonly ok: boolean;
  readonly text: string;
  readonly bytes: Buffer;
  json<T = any>(): T;
}

export interface EndingOptions {
  /** A word for programs, such as "bad_row". */
  code?: string;
  cause?: unknown;
}

/** How a step ends other than by success: throw one of Skip, Permanent, Retry and Failed. */
export class Ending extends Error {
  constructor(message?: string, options?: EndingOptions);
  readonly code: string;
}
/** A failure; the retry policy of the step decides. So does any other error. */
export class Failed extends Ending {}
/** There was nothing to do. Outputs are kept. */
export class Skip extends Ending {}
/** A failure that trying again cannot help. */
export class Permanent extends Ending {}
/** A failure that passes. */
export class Retry extends Ending {
  /** after is how many seconds to wait. */
  constructor(message?: string, options?: EndingOptions & { after?: number });
}

/** The host refused. A step that lets it through fails with its code. */
export class CallError extends Error {
  private constructor();
  readonly code:
    | "denied" | "not_found" | "too_large" | "invalid" | "unavailable" | "cancelled" | "quota" | "unknown_op" | "fault"
    | (string & {});
  /** What the host said, without the operation. */
  readonly reason: string;
  /** What to do about it; may be empty. */
  readonly hint: string;
  readonly op: string;
}

export type Step<Inputs = any> = (ctx: Context<Inputs>) => Json | void | Promise<Json | void>;

export interface Descriptor {
  name?: string;
  version?: string;
  description?: string;
  /** By the name of the function: JSON Schemas of its inputs (`with`) and outputs. */
  functions?: Record<string, { description?: string; with?: object; outputs?: object }>;
  wants?: object;
}

/** Serves steps, by name, as long as the host wants them. */
export function serve(functions: Record<string, Step>, options?: { name?: string; version?: string; description?: string; descriptor?: Descriptor }): void;
