// Types of the module "uniflow", and of what the engine puts into the global scope.

declare module "uniflow" {
  /** A value that JSON can hold. A bigint is written as an integer in full. */
  export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json | undefined };

  /** A value too large for JSON. It may be an output, and an input. */
  export interface Reference {
    $artifact: string;
    size: number;
    type: string;
  }

  /** What the step is told. Instants are RFC 3339 in UTC, null where there is none. */
  export class Context<Inputs = any, Values = any> {
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
    readonly scheduled_at: string;
    readonly interval_start: string | null;
    readonly interval_end: string | null;
    readonly started_at: string;
    readonly deadline: string;
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
    readonly code:
      | "denied" | "not_found" | "too_large" | "invalid" | "unavailable" | "cancelled" | "quota" | "unknown_op" | "fault"
      | (string & {});
    /** What the host said, without the operation. */
    readonly reason: string;
    /** What to do about it; may be empty. */
    readonly hint: string;
    readonly op: string;
  }

  /** Sets an output. The members of the object that the function returns are outputs too. */
  export function output(name: string, value: Json): void;
  /** Sets an output to a JSON text, byte for byte. */
  export function outputRaw(name: string, text: string): void;
  /** Says how far the step is, from 0 to 1; true when it is being cancelled. */
  export function progress(fraction: number, message?: string): boolean;

  export const log: Record<"debug" | "info" | "warn" | "error", (message: unknown) => void>;

  export class Response {
    readonly status: number;
    /** Names are in lower case. */
    readonly headers: Record<string, string>;
    /** Where the body was stored, if the request said so. */
    readonly artifact?: Reference;
    /** True below 400. */
    readonly ok: boolean;
    readonly text: string;
    readonly bytes: Uint8Array;
    json<T = any>(): T;
  }

  export interface RequestOptions {
    headers?: Record<string, string>;
    body?: string | Uint8Array | ArrayBuffer;
    /** A value that becomes the body. */
    json?: Json;
    /** Seconds. */
    timeout?: number;
    /** A name under which the body of the response is stored. */
    artifact?: string;
  }

  /** Requests that the grant `http` allows. A status of 400 or more is an answer, no error. */
  export const http: {
    request(method: string, url: string, options?: RequestOptions): Response;
    get(url: string, options?: RequestOptions): Response;
    post(url: string, options?: RequestOptions): Response;
    put(url: string, options?: RequestOptions): Response;
    delete(url: string, options?: RequestOptions): Response;
  };

  /** Values that the pipeline keeps from run to run. What is written counts when the run succeeds. */
  export const state: {
    get<T = any>(key: string, otherwise?: T): T;
    set(key: string, value: Json): void;
    delete(key: string): void;
    list(prefix?: string): string[];
  };

  export const artifact: {
    put(name: string, data: string | Uint8Array | ArrayBuffer, type?: string): Reference;
    get(ref: Reference, slice?: { offset?: number; length?: number }): Uint8Array;
    text(ref: Reference): string;
  };

  /** Returns a secret that the manifest exposes to the step. */
  export function secret(name: string): string;
  /** Emits an event and returns its id. */
  export function emit(type: string, data?: Json, subject?: string): string;
  /** Returns what the host is and can. */
  export function info(): any;
  /** Calls a service by the name of its operation. */
  export function call<T = any>(op: string, request?: Json, body?: string | Uint8Array | ArrayBuffer): T;

  export function base64(bytes: Uint8Array): string;
  export function unbase64(text: string): Uint8Array;
}

declare const console: Record<"log" | "info" | "debug" | "warn" | "error", (...values: unknown[]) => void>;
declare const crypto: { getRandomValues<T extends ArrayBufferView>(array: T): T; randomUUID(): string };
declare function btoa(text: string): string;
declare function atob(text: string): string;
declare function setTimeout(f: (...args: any[]) => void, ms?: number, ...args: any[]): number;
declare function setInterval(f: (...args: any[]) => void, ms?: number, ...args: any[]): number;
declare function clearTimeout(id: number): void;
declare function clearInterval(id: number): void;
declare function queueMicrotask(f: () => void): void;
declare class TextEncoder {
  readonly encoding: string;
  encode(text?: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: string);
  readonly encoding: string;
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
