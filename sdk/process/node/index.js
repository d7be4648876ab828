// Steps of Uniflow as a process in Node:
//
//   import { serve } from "@uniflow/process";
//
//   async function run(ctx) {
//     ctx.log.info(`${ctx.inputs.rows.length} rows`);
//     return { count: ctx.inputs.rows.length };
//   }
//
//   serve({ run });
export { CallError, Context, Ending, Failed, Permanent, Response, Retry, Skip } from "./lib/context.js";
export { serve } from "./lib/serve.js";
