//! The conformance program of the Zig kit; sdk/abi/testdata/README.md says what it does.

const std = @import("std");
const uniflow = @import("uniflow");
const Step = uniflow.Step;

var returned: i32 = 0; // what a vector of attempt.json returns, past the kit

export fn uniflow_run() i32 {
    const end = uniflow.handle(run);
    return if (returned != 0) returned else end;
}

fn run(step: *Step) !void {
    const Case = struct { case: []const u8 };
    const name = (try step.read(Case)).case;
    if (std.mem.eql(u8, name, "echo")) return step.output("document", step.run.with.get("document"));
    inline for (.{ "values", "context", "item", "log", "http", "secret", "state", "artifact", "event", "unknown", "fail", "attempt" }) |case| {
        if (std.mem.eql(u8, name, case)) return @field(cases, case)(step);
    }
    var quoted = uniflow.Doc{ .allocator = step.allocator };
    try quoted.put(name);
    return step.permanent("", try std.mem.concat(step.allocator, u8, &.{ "unknown case ", quoted.bytes() }));
}

const cases = struct {
    fn values(step: *Step) !void {
        const in = try step.read(struct { numbers: []const f64, text: []const u8, flag: bool });
        var sum: f64 = 0;
        for (in.numbers) |n| sum += n;
        try step.output("sum", sum);
        try step.output("count", in.numbers.len);
        try step.output("text", in.text);
        try step.output("flag", in.flag);
    }

    fn context(step: *Step) !void {
        try step.output("pipeline", step.run.pipeline);
        try step.output("step", step.run.step);
        try step.output("attempt", step.run.attempt);
        try step.output("trigger", step.run.trigger);
        try step.output("station", step.run.context.get("station"));
    }

    fn item(step: *Step) !void {
        try step.output("item", step.run.item);
        try step.output("index", step.run.item_index);
    }

    fn log(step: *Step) !void {
        step.debug("one");
        step.info("two");
        step.warn("three: ü");
        step.err("four");
        try step.output("cancelled", step.progress(0.5, "half"));
    }

    fn http(step: *Step) !void {
        const in = try step.read(struct { method: []const u8, url: []const u8, header: ?[]const u8, body: []const u8 = "" });
        const header = [1]uniflow.Header{.{ .name = "content-type", .value = in.header orelse "" }};
        const headers: []const uniflow.Header = if (in.header == null) &.{} else &header;
        const got = try step.http(.{ .method = in.method, .url = in.url, .headers = headers, .body = in.body });
        try step.output("status", got.status);
        try step.output("type", got.headers.get("content-type"));
        try step.output("body", got.body);
    }

    fn secret(step: *Step) !void {
        const in = try step.read(struct { name: []const u8 });
        try step.output("value", try step.secret(in.name));
    }

    fn state(step: *Step) !void {
        const in = try step.read(struct { key: []const u8 });
        const n = (try step.state(i64, in.key) orelse 0) + 1;
        try step.setState(in.key, n);
        try step.deleteState("old");
        try step.output("keys", try step.listState(""));
        try step.output("n", n);
    }

    fn artifact(step: *Step) !void {
        const in = try step.read(struct { name: []const u8, text: []const u8, times: usize });
        const content = try step.allocator.alloc(u8, in.text.len * in.times);
        for (0..in.times) |i| @memcpy(content[i * in.text.len ..][0..in.text.len], in.text);
        const ref = try step.putArtifact(in.name, "text/plain", content);
        const got = try step.getArtifact(ref);
        try step.output("ref", ref);
        try step.output("size", got.len);
        if (got.len <= 1000) try step.output("text", got);
    }

    fn event(step: *Step) !void {
        const in = try step.read(struct { type: []const u8, subject: []const u8, data: uniflow.Json });
        try step.output("id", try step.emit(in.type, in.subject, in.data));
    }

    fn unknown(step: *Step) !void {
        if (step.call("no.such", "{}", "")) |_| {
            return step.fail("no.such is not refused");
        } else |e| {
            if (e != error.Refused) return e;
            try step.output("code", step.refusal.code);
            try step.output("message", step.refusal.message);
            try step.output("hint", step.refusal.hint);
        }
    }

    fn fail(step: *Step) !void {
        const in = try step.read(struct { kind: []const u8, code: []const u8, message: []const u8, after_ms: u64 = 0 });
        try step.output("before", 1);
        const kind = std.meta.stringToEnum(uniflow.Kind, in.kind) orelse .failed;
        return step.end(.{ .kind = kind, .code = in.code, .message = in.message, .after_ms = in.after_ms });
    }

    /// Makes the calls of a vector of attempt.json.
    fn attempt(step: *Step) !void {
        const Call = struct { do: []const u8, key: []const u8 = "", value: []const u8 = "", kind: i32 = 0, text: []const u8 = "" };
        const in = try step.read(struct { calls: []const Call, @"return": i32 });
        var names = uniflow.Doc{ .allocator = step.allocator };
        for (in.calls) |call| {
            const fails = std.mem.eql(u8, call.do, "fail");
            const errno = if (fails) uniflow.rawFail(call.kind, call.text) else uniflow.rawOutput(call.key, call.value);
            if (names.len > 0) try names.append(" ");
            try names.append(@tagName(errno));
        }
        step.info(names.bytes());
        returned = in.@"return";
    }
};
