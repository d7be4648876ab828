import * as uniflow from "uniflow";

interface Inputs {
  rows?: number[];
}

export function run(ctx: uniflow.Context<Inputs>) {
  const rows = ctx.inputs.rows ?? [];
  if (rows.length === 0) throw new uniflow.Skip("no rows");
  uniflow.log.info(`${rows.length} rows`);
  return { sum: rows.reduce((a, b) => a + b, 0) };
}
