//! The Zig kit for steps of Uniflow, in one file.
//!
//!     const uniflow = @import("uniflow.zig");
//!
//!     const Inputs = struct { name: []const u8, excited: bool = false };
//!
//!     fn greet(step: *uniflow.Step) !void {
//!         const inputs = try step.read(Inputs);
//!         try step.output("greeting", inputs.name);
//!     }
//!
//!     export fn uniflow_run() i32 {
//!         return uniflow.handle(greet);
//!     }
//!
//! A step that returns an error fails, unless it ended itself (`return
//! step.skip("...")`). A service that says no is error.Refused, with the reason
//! in step.refusal; let through, it is permanent where asking again cannot help.
//! Nothing has to be freed.

const std = @import("std");
const builtin = @import("builtin");

/// The mark of a reactor; never called.
export fn uniflow_abi_v1() void {}

/// The functions of the host as they are. Natively they do nothing.
pub const host = if (builtin.target.cpu.arch.isWasm()) struct {
    pub extern "uniflow" fn input_size() i32;
    pub extern "uniflow" fn input_read(dst: [*]u8, off: u32, len: u32) i32;
    pub extern "uniflow" fn output(name: [*]const u8, name_len: u32, value: [*]const u8, len: u32) i32;
    pub extern "uniflow" fn log(level: i32, msg: [*]const u8, len: u32) void;
    pub extern "uniflow" fn fail(kind: i32, msg: [*]const u8, len: u32) i32;
    pub extern "uniflow" fn progress(permille: i32, msg: [*]const u8, len: u32) i32;
    pub extern "uniflow" fn call(op: [*]const u8, op_len: u32, req: [*]const u8, len: u32) i32;
    pub extern "uniflow" fn call_read(dst: [*]u8, off: u32, len: u32) i32;
    pub extern "uniflow" fn call_write(src: [*]const u8, len: u32) i32;
} else struct {
    pub fn input_size() i32 {
        return 0;
    }
    pub fn input_read(_: [*]u8, _: u32, _: u32) i32 {
        return 0;
    }
    pub fn output(_: [*]const u8, _: u32, _: [*]const u8, _: u32) i32 {
        return 0;
    }
    pub fn log(_: i32, _: [*]const u8, _: u32) void {}
    pub fn fail(_: i32, _: [*]const u8, _: u32) i32 {
        return 0;
    }
    pub fn progress(_: i32, _: [*]const u8, _: u32) i32 {
        return 0;
    }
    pub fn call(_: [*]const u8, _: u32, _: [*]const u8, _: u32) i32 {
        return -8;
    }
    pub fn call_read(_: [*]u8, _: u32, _: u32) i32 {
        return 0;
    }
    pub fn call_write(_: [*]const u8, _: u32) i32 {
        return 0;
    }
};

/// How a step ends; the numbers of the contract.
pub const Kind = enum(i32) { ok = 0, failed = 1, skip = 2, retry = 3, permanent = 4 };

/// Error numbers of the contract; their names are its names.
pub const Errno = enum(i32) {
    ok = 0,
    denied = 1,
    not_found = 2,
    too_large = 3,
    invalid = 4,
    unavailable = 5,
    cancelled = 6,
    quota = 7,
    unknown_op = 8,
    fault = 9,

    /// The error of what a function of the host returned.
    pub fn of(result: i32) Errno {
        if (result >= 0) return .ok;
        return if (result >= -9) @enumFromInt(-result) else .unavailable;
    }
};

const max_depth = 66; // 64 of a value, and 2 of the run context around it
const max_message = 16384;

/// What the functions of the kit return.
pub const Error = error{ OutOfMemory, Mismatch, Refused, Ended };

// ---- reading JSON ----

/// One JSON value as it stands in a document: output it, and it passes byte
/// for byte. What is missing, malformed or of another type reads as missing.
pub const Json = struct {
    raw: []const u8 = "",

    /// The value that a text holds.
    pub fn parse(document: []const u8) Json {
        const start = blank(document, 0);
        const end = valueEnd(document, start) orelse return .{};
        return .{ .raw = document[start..end] };
    }

    pub fn isMissing(self: Json) bool {
        return self.raw.len == 0;
    }

    /// Is it null, or not there at all?
    pub fn isNull(self: Json) bool {
        return self.raw.len == 0 or self.raw[0] == 'n';
    }

    fn is(self: Json, first: u8) bool {
        return self.raw.len > 1 and self.raw[0] == first;
    }

    /// The member of an object, the last one of its name.
    pub fn get(self: Json, name: []const u8) Json {
        var found = Json{};
        var it = self.members();
        while (it.next()) |member| {
            if (member.isNamed(name)) found = member.value;
        }
        return found;
    }

    /// Walks through the elements of a list.
    pub fn elements(self: Json) Elements {
        return .{ .rest = if (self.is('[')) self.raw[1 .. self.raw.len - 1] else "" };
    }

    /// Walks through the members of an object.
    pub fn members(self: Json) Members {
        return .{ .rest = .{ .rest = if (self.is('{')) self.raw[1 .. self.raw.len - 1] else "" } };
    }

    /// The text of a string, in the document where it has no escapes.
    pub fn text(self: Json, allocator: std.mem.Allocator) error{OutOfMemory}!?[]const u8 {
        if (!self.is('"')) return null;
        const inside = self.raw[1 .. self.raw.len - 1];
        if (std.mem.indexOfScalar(u8, inside, '\\') == null) return inside;
        const buffer = try allocator.alloc(u8, inside.len + 4);
        return buffer[0..unescape(inside, buffer)];
    }

    /// A number.
    pub fn number(self: Json, comptime T: type) ?T {
        for (self.raw) |c| {
            if (std.mem.indexOfScalar(u8, "0123456789+-.eE", c) == null) return null;
        }
        if (self.raw.len == 0 or self.raw[0] == '+' or self.raw[0] == '.') return null;
        return switch (@typeInfo(T)) {
            .float => std.fmt.parseFloat(T, self.raw) catch null,
            else => std.fmt.parseInt(T, self.raw, 10) catch null,
        };
    }

    /// Reads the value as a T: a struct by its members, which may have defaults
    /// or be optional; slices, texts, numbers, booleans, and Json as it stands.
    pub fn read(self: Json, comptime T: type, allocator: std.mem.Allocator) error{ OutOfMemory, Mismatch }!T {
        if (T == Json) return self;
        switch (@typeInfo(T)) {
            .bool => {
                if (std.mem.eql(u8, self.raw, "true")) return true;
                if (std.mem.eql(u8, self.raw, "false")) return false;
                return error.Mismatch;
            },
            .int, .float => return self.number(T) orelse error.Mismatch,
            .optional => |o| return if (self.isNull()) null else try self.read(o.child, allocator),
            .pointer => |p| {
                if (p.size != .slice) @compileError("a step cannot read " ++ @typeName(T));
                if (p.child == u8) return try self.text(allocator) orelse error.Mismatch;
                return self.readList(p.child, allocator);
            },
            .@"struct" => return self.readStruct(T, allocator),
            else => @compileError("a step cannot read " ++ @typeName(T)),
        }
    }

    fn readList(self: Json, comptime T: type, allocator: std.mem.Allocator) error{ OutOfMemory, Mismatch }![]T {
        if (!self.is('[')) return error.Mismatch;
        var count: usize = 0;
        var it = self.elements();
        while (it.next()) |_| count += 1;
        const list = try allocator.alloc(T, count);
        it = self.elements();
        for (list) |*item| item.* = try it.next().?.read(T, allocator);
        return list;
    }

    fn readStruct(self: Json, comptime T: type, allocator: std.mem.Allocator) error{ OutOfMemory, Mismatch }!T {
        if (!self.is('{')) return error.Mismatch;
        const fields = std.meta.fields(T);
        var found = [_]Json{.{}} ** fields.len;
        var it = self.members();
        while (it.next()) |member| {
            inline for (fields, 0..) |field, i| {
                if (member.isNamed(field.name)) found[i] = member.value;
            }
        }
        var value: T = undefined;
        inline for (fields, 0..) |field, i| {
            const default = comptime field.defaultValue();
            if (default != null and found[i].isNull()) {
                @field(value, field.name) = default.?;
            } else {
                @field(value, field.name) = try found[i].read(field.type, allocator);
            }
        }
        return value;
    }
};

/// A member of an object; its name is a JSON string.
pub const Member = struct {
    name: Json,
    value: Json,

    pub fn isNamed(self: Member, want: []const u8) bool {
        const inside = self.name.raw[1 .. self.name.raw.len - 1];
        if (std.mem.indexOfScalar(u8, inside, '\\') == null) return std.mem.eql(u8, inside, want);
        var buffer: [260]u8 = undefined; // a longer name with escapes is nobody's
        if (inside.len > 256) return false;
        return std.mem.eql(u8, buffer[0..unescape(inside, &buffer)], want);
    }
};

pub const Elements = struct {
    rest: []const u8,

    pub fn next(self: *Elements) ?Json {
        const start = blank(self.rest, 0);
        const end = valueEnd(self.rest, start) orelse return null;
        const value = Json{ .raw = self.rest[start..end] };
        const after = blank(self.rest, end);
        self.rest = self.rest[@min(after + 1, self.rest.len)..]; // behind the comma or colon
        return value;
    }
};

pub const Members = struct {
    rest: Elements,

    pub fn next(self: *Members) ?Member {
        const name = self.rest.next() orelse return null;
        if (!name.is('"')) return null;
        return .{ .name = name, .value = self.rest.next() orelse return null };
    }
};

fn blank(doc: []const u8, from: usize) usize {
    var at = from;
    while (at < doc.len and std.mem.indexOfScalar(u8, " \t\r\n", doc[at]) != null) at += 1;
    return at;
}

fn stringEnd(doc: []const u8, from: usize) ?usize {
    var at = from + 1;
    while (at < doc.len) : (at += 1) {
        if (doc[at] == '"') return at + 1;
        if (doc[at] == '\\') at += 1;
    }
    return null;
}

/// The end of the value that starts at from.
fn valueEnd(doc: []const u8, from: usize) ?usize {
    if (from >= doc.len) return null;
    if (doc[from] == '"') return stringEnd(doc, from);
    if (doc[from] != '{' and doc[from] != '[') {
        const end = std.mem.indexOfAnyPos(u8, doc, from, " \t\r\n,:]}") orelse doc.len;
        return if (end > from) end else null;
    }
    var depth: u32 = 0;
    var at = from;
    while (at < doc.len) {
        switch (doc[at]) {
            '"' => {
                at = stringEnd(doc, at) orelse return null;
                continue;
            },
            '{', '[' => {
                depth += 1;
                if (depth > max_depth) return null;
            },
            '}', ']' => {
                depth -= 1;
                if (depth == 0) return at + 1;
            },
            else => {},
        }
        at += 1;
    }
    return null;
}

/// Writes a string without its escapes and returns its length; half of a pair
/// reads as U+FFFD. The buffer has four bytes more than the string.
fn unescape(inside: []const u8, buffer: []u8) usize {
    var size: usize = 0;
    var at: usize = 0;
    while (at < inside.len) {
        if (inside[at] != '\\' or at + 1 >= inside.len) {
            buffer[size] = inside[at];
            size += 1;
            at += 1;
            continue;
        }
        const char: u21 = switch (inside[at + 1]) {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => unicode(inside, &at),
            else => |c| if (c < 0x80) c else 0xfffd,
        };
        at += 2;
        size += std.unicode.utf8Encode(char, buffer[size..]) catch 0;
    }
    return size;
}

/// The character of the escape at at, whose hex digits it moves at over.
fn unicode(inside: []const u8, at: *usize) u21 {
    const high = hex4(inside, at.* + 2) orelse return 0xfffd;
    at.* += 4;
    const next = at.* + 2;
    if (high & 0xfc00 == 0xd800 and next + 2 <= inside.len and std.mem.eql(u8, inside[next..][0..2], "\\u")) {
        const low = hex4(inside, next + 2) orelse 0;
        if (low & 0xfc00 == 0xdc00) {
            at.* += 6;
            return 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
        }
    }
    return if (high & 0xf800 == 0xd800) 0xfffd else high;
}

fn hex4(doc: []const u8, at: usize) ?u21 {
    if (at + 4 > doc.len) return null;
    var n: u21 = 0;
    for (doc[at..][0..4]) |c| n = n << 4 | (std.fmt.charToDigit(c, 16) catch return null);
    return n;
}

// ---- writing JSON ----

/// JSON that is being written.
pub const Doc = struct {
    allocator: std.mem.Allocator,
    buffer: []u8 = &.{},
    len: usize = 0,

    pub fn bytes(self: *const Doc) []const u8 {
        return self.buffer[0..self.len];
    }

    pub fn append(self: *Doc, text: []const u8) error{OutOfMemory}!void {
        if (self.buffer.len - self.len < text.len) {
            self.buffer = try self.allocator.realloc(self.buffer, self.buffer.len * 2 + text.len + 64);
        }
        @memcpy(self.buffer[self.len..][0..text.len], text);
        self.len += text.len;
    }

    /// Puts a value: structs as objects, tuples and slices as lists, texts,
    /// numbers, booleans, optionals, and Json as it stands.
    pub fn put(self: *Doc, value: anytype) error{OutOfMemory}!void {
        const T = @TypeOf(value);
        if (T == Json) return self.append(if (value.isMissing()) "null" else value.raw);
        switch (@typeInfo(T)) {
            .null => try self.append("null"),
            .bool => try self.append(if (value) "true" else "false"),
            .int, .comptime_int => {
                var digits: [48]u8 = undefined;
                try self.append(std.fmt.bufPrint(&digits, "{d}", .{value}) catch unreachable);
            },
            .float, .comptime_float => try self.putFloat(value),
            .optional => if (value) |v| try self.put(v) else try self.append("null"),
            .array => try self.put(@as([]const std.meta.Elem(T), &value)),
            .pointer => |p| switch (p.size) {
                .one => try self.put(value.*),
                .slice => if (p.child == u8) try self.putText(value) else try self.putList(value),
                else => @compileError("a step cannot write " ++ @typeName(T)),
            },
            .@"struct" => |s| if (s.is_tuple) try self.putList(value) else try self.putStruct(value),
            else => @compileError("a step cannot write " ++ @typeName(T)),
        }
    }

    fn putFloat(self: *Doc, value: f64) error{OutOfMemory}!void {
        var digits: [64]u8 = undefined;
        const size = @abs(value);
        if (!std.math.isFinite(value)) return self.append("null");
        const plain = size == 0 or (size >= 1e-7 and size < 1e21);
        const text = if (plain) std.fmt.bufPrint(&digits, "{d}", .{value}) else std.fmt.bufPrint(&digits, "{e}", .{value});
        try self.append(text catch unreachable);
    }

    fn putText(self: *Doc, text: []const u8) error{OutOfMemory}!void {
        try self.append("\"");
        var plain: usize = 0;
        for (text, 0..) |c, i| {
            if (c >= 0x20 and c != '"' and c != '\\') continue;
            const hex = "0123456789abcdef";
            try self.append(text[plain..i]);
            plain = i + 1;
            try self.append(if (c < 0x20) &[_]u8{ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] } else &[_]u8{ '\\', c });
        }
        try self.append(text[plain..]);
        try self.append("\"");
    }

    fn putList(self: *Doc, list: anytype) error{OutOfMemory}!void {
        try self.append("[");
        if (@typeInfo(@TypeOf(list)) == .@"struct") {
            inline for (list, 0..) |item, i| {
                if (i > 0) try self.append(",");
                try self.put(item);
            }
        } else for (list, 0..) |item, i| {
            if (i > 0) try self.append(",");
            try self.put(item);
        }
        try self.append("]");
    }

    fn putStruct(self: *Doc, value: anytype) error{OutOfMemory}!void {
        try self.append("{");
        inline for (std.meta.fields(@TypeOf(value))) |field| try self.member(field.name, @field(value, field.name));
        try self.append("}");
    }

    /// Puts a member of an object, with a comma where one is due.
    pub fn member(self: *Doc, name: []const u8, value: anytype) error{OutOfMemory}!void {
        if (self.len > 0 and self.buffer[self.len - 1] != '{') try self.append(",");
        try self.putText(name);
        try self.append(":");
        try self.put(value);
    }
};

// ---- the step ----

/// Why a service said no.
pub const Refusal = struct {
    op: []const u8 = "",
    errno: Errno = .ok, // denied without a grant, unknown_op where the host does not offer the service
    code: []const u8 = "",
    message: []const u8 = "",
    hint: []const u8 = "",
};

/// How a step ends.
pub const Ending = struct {
    kind: Kind = .ok,
    message: []const u8 = "",
    code: []const u8 = "", // the plugin's own, may be empty
    after_ms: u64 = 0, // only of a retry; 0 leaves the wait to the step's policy
};

/// What a step knows.
pub const Run = struct {
    tenant: []const u8 = "",
    project: []const u8 = "",
    pipeline: []const u8 = "",
    version: []const u8 = "",
    label: []const u8 = "",
    run_id: []const u8 = "",
    step: []const u8 = "",
    function: []const u8 = "",
    attempt: u32 = 1,
    max_attempts: u32 = 1,
    idempotency_key: []const u8 = "",
    trigger: []const u8 = "",
    schedule: []const u8 = "",
    // Instants are RFC 3339 in UTC.
    scheduled_at: []const u8 = "",
    interval_start: []const u8 = "",
    interval_end: []const u8 = "",
    started_at: []const u8 = "",
    deadline: []const u8 = "",
    last_success_at: []const u8 = "",
    context: Json = .{},
    with: Json = .{},
    item: Json = .{},
    item_index: ?u64 = null, // null outside a fan-out
    features: Json = .{},
};

pub const Header = struct { name: []const u8, value: []const u8 };

/// A request that the host makes, where a grant covers its method and URL.
pub const HttpRequest = struct {
    method: []const u8 = "GET",
    url: []const u8,
    headers: []const Header = &.{},
    body: []const u8 = "",
    timeout_ms: u64 = 0, // 0 for what the host allows
    artifact: []const u8 = "", // where set, the body is stored as an artifact of this name
};

/// An answer; a status of 400 and more is one, too.
pub const HttpResponse = struct {
    status: u32,
    headers: Json, // names in lower case, several values joined by ", "
    body: []const u8,
    artifact: Json, // the reference, where the request asked for one

    pub fn json(self: HttpResponse) Json {
        return Json.parse(self.body);
    }
};

/// What this host is and offers.
pub const HostInfo = struct { version: []const u8, abi: []const u8, ops: []const []const u8, limits: Json = .{} };

/// A step at work: what it knows, and its way to the host.
pub const Step = struct {
    allocator: std.mem.Allocator,
    document: Json, // the whole run context
    run: Run = .{},
    ending: Ending = .{},
    refusal: Refusal = .{}, // of the last error.Refused

    /// Reads the inputs of the step; what does not fit is a permanent failure.
    pub fn read(self: *Step, comptime T: type) Error!T {
        return self.run.with.read(T, self.allocator);
    }

    /// Sets a named output; the last one of a name wins.
    pub fn output(self: *Step, name: []const u8, value: anytype) Error!void {
        var doc = Doc{ .allocator = self.allocator };
        try doc.put(value);
        const errno = rawOutput(name, doc.bytes());
        if (errno == .ok) return;
        const kind: Kind = if (errno == .too_large or errno == .invalid) .permanent else .failed;
        const why = std.mem.concat(self.allocator, u8, &.{ "output ", name, ": ", @tagName(errno) }) catch "output";
        return self.end(.{ .kind = kind, .message = why, .code = @tagName(errno) });
    }

    pub fn debug(_: *Step, message: []const u8) void {
        log(1, message);
    }
    pub fn info(_: *Step, message: []const u8) void {
        log(2, message);
    }
    pub fn warn(_: *Step, message: []const u8) void {
        log(3, message);
    }
    /// Logs an error; it does not end the step.
    pub fn err(_: *Step, message: []const u8) void {
        log(4, message);
    }

    /// Says how far the step is, from 0 to 1; true when the attempt is being cancelled.
    pub fn progress(_: *Step, part: f64, message: []const u8) bool {
        const text = clip(message, max_message);
        const permille: i32 = if (part > 0) @intFromFloat(@min(part, 1) * 1000) else 0;
        return host.progress(permille, address(text), @intCast(text.len)) == 1;
    }

    /// Ends the step: `return step.end(.{ .kind = .failed, .message = "..." })`.
    pub fn end(self: *Step, ending: Ending) Error {
        self.ending = ending;
        return error.Ended;
    }
    /// There was nothing to do; outputs are kept.
    pub fn skip(self: *Step, why: []const u8) Error {
        return self.end(.{ .kind = .skip, .message = why });
    }
    /// A failure; the step's retry policy decides.
    pub fn fail(self: *Step, why: []const u8) Error {
        return self.end(.{ .kind = .failed, .message = why });
    }
    /// A transient failure; 0 leaves the wait to the step's policy.
    pub fn retry(self: *Step, why: []const u8, after_ms: u64) Error {
        return self.end(.{ .kind = .retry, .message = why, .after_ms = after_ms });
    }
    /// Trying again is useless.
    pub fn permanent(self: *Step, code: []const u8, why: []const u8) Error {
        return self.end(.{ .kind = .permanent, .message = why, .code = code });
    }

    /// Asks any service; body is the part of the request that is not JSON.
    pub fn call(self: *Step, op: []const u8, request: []const u8, body: []const u8) Error![]const u8 {
        var n: i32 = if (body.len > 0) host.call_write(address(body), @intCast(body.len)) else 0;
        if (n >= 0) n = host.call(address(op), @intCast(op.len), address(request), @intCast(request.len));
        if (n < 0) return self.explain(op, n);
        const answer = try self.allocator.alloc(u8, @intCast(n));
        var done: usize = 0;
        while (done < answer.len) : (done += @intCast(n)) {
            const rest = answer[done..];
            n = host.call_read(rest.ptr, @intCast(done), @intCast(rest.len));
            if (n < 0) return self.explain(op, n);
            if (n == 0) break;
        }
        return answer[0..done];
    }

    fn explain(self: *Step, op: []const u8, result: i32) Error {
        const errno = Errno.of(result);
        self.refusal = .{ .op = op, .errno = errno, .code = @tagName(errno) };
        const said = try self.allocator.alloc(u8, 3 * max_message);
        const size = host.call_read(said.ptr, 0, @intCast(said.len));
        if (size <= 0) return error.Refused;
        const doc = Json.parse(said[0..@min(said.len, @as(usize, @intCast(size)))]);
        self.refusal.message = try doc.get("message").text(self.allocator) orelse "";
        self.refusal.hint = try doc.get("hint").text(self.allocator) orelse "";
        if (try doc.get("code").text(self.allocator)) |code| self.refusal.code = code;
        return error.Refused;
    }

    fn ask(self: *Step, op: []const u8, request: anytype, body: []const u8) Error!Json {
        var doc = Doc{ .allocator = self.allocator };
        try doc.put(request);
        return Json.parse(try self.call(op, doc.bytes(), body));
    }

    /// What an answer holds; one of another shape counts as a refusal.
    fn answered(self: *Step, comptime T: type, op: []const u8, value: Json) Error!T {
        return value.read(T, self.allocator) catch |e| {
            if (e == error.OutOfMemory) return error.OutOfMemory;
            self.refusal = .{ .op = op, .errno = .unavailable, .code = "unavailable", .message = "the response has another shape" };
            return error.Refused;
        };
    }

    pub fn http(self: *Step, r: HttpRequest) Error!HttpResponse {
        var doc = Doc{ .allocator = self.allocator };
        try doc.append("{");
        try doc.member("method", r.method);
        try doc.member("url", r.url);
        if (r.headers.len > 0) {
            var headers = Doc{ .allocator = self.allocator };
            try headers.append("{");
            for (r.headers) |h| try headers.member(h.name, h.value);
            try headers.append("}");
            try doc.member("headers", Json{ .raw = headers.bytes() });
        }
        if (r.timeout_ms > 0) try doc.member("timeout_ms", r.timeout_ms);
        if (r.artifact.len > 0) try doc.member("artifact", r.artifact);
        try doc.append("}");
        const op = "http.request";
        const got = Json.parse(try self.call(op, doc.bytes(), r.body));
        const encoded = got.get("body_base64");
        return .{
            .status = try self.answered(u32, op, got.get("status")),
            .headers = got.get("headers"),
            .body = if (encoded.isNull()) (try got.get("body").text(self.allocator)) orelse "" else try self.base64(op, encoded),
            .artifact = got.get("artifact"),
        };
    }

    fn base64(self: *Step, op: []const u8, encoded: Json) Error![]const u8 {
        const text = try self.answered([]const u8, op, encoded);
        const decoder = std.base64.standard.Decoder;
        const size = decoder.calcSizeForSlice(text) catch return self.answered([]const u8, op, .{});
        const content = try self.allocator.alloc(u8, size);
        decoder.decode(content, text) catch return self.answered([]const u8, op, .{});
        return content;
    }

    /// What the pipeline keeps at a key; null where there is nothing.
    pub fn state(self: *Step, comptime T: type, key: []const u8) Error!?T {
        const got = self.ask("state.get", .{ .key = key }, "") catch |e| {
            if (e == error.Refused and self.refusal.errno == .not_found) return null;
            return e;
        };
        return try self.answered(T, "state.get", got.get("value"));
    }
    /// Keeps a value: later steps see it at once, other runs when this one succeeds.
    pub fn setState(self: *Step, key: []const u8, value: anytype) Error!void {
        _ = try self.ask("state.set", .{ .key = key, .value = value }, "");
    }
    /// Drops what is kept at a key, if anything is.
    pub fn deleteState(self: *Step, key: []const u8) Error!void {
        _ = try self.ask("state.delete", .{ .key = key }, "");
    }
    /// The keys that begin with a prefix, in order.
    pub fn listState(self: *Step, prefix: []const u8) Error![]const []const u8 {
        const got = try self.ask("state.list", .{ .prefix = prefix }, "");
        return self.answered([]const []const u8, "state.list", got.get("keys"));
    }

    /// A secret that the manifest exposes to the plugin.
    pub fn secret(self: *Step, name: []const u8) Error![]const u8 {
        const got = try self.ask("secret.get", .{ .name = name }, "");
        return self.answered([]const u8, "secret.get", got.get("value"));
    }

    /// Stores content, at most 8 MiB, and returns its reference, to be set as an output.
    pub fn putArtifact(self: *Step, name: []const u8, media_type: []const u8, content: []const u8) Error!Json {
        return self.ask("artifact.put", .{ .name = name, .type = media_type }, content);
    }
    /// The bytes of an artifact of at most 8 MiB.
    pub fn getArtifact(self: *Step, ref: Json) Error![]const u8 {
        return self.call("artifact.get", ref.raw, "");
    }
    /// A slice of an artifact of any size.
    pub fn readArtifact(self: *Step, ref: Json, offset: u64, length: u64) Error![]const u8 {
        var doc = Doc{ .allocator = self.allocator };
        try doc.append("{");
        var it = ref.members();
        while (it.next()) |m| try doc.member((try m.name.text(self.allocator)).?, m.value);
        try doc.member("offset", offset);
        try doc.member("length", length);
        try doc.append("}");
        return self.call("artifact.get", doc.bytes(), "");
    }

    /// Records an event, its type in reverse DNS, and returns its id.
    pub fn emit(self: *Step, event_type: []const u8, subject: []const u8, data: anytype) Error![]const u8 {
        const got = try self.ask("event.emit", .{ .type = event_type, .subject = subject, .data = data }, "");
        return self.answered([]const u8, "event.emit", got.get("id"));
    }

    /// What this host is and offers.
    pub fn hostInfo(self: *Step) Error!HostInfo {
        return self.answered(HostInfo, "host.info", try self.ask("host.info", .{}, ""));
    }
};

/// Sets an output to JSON as it stands.
pub fn rawOutput(name: []const u8, value: []const u8) Errno {
    return Errno.of(host.output(address(name), @intCast(name.len), address(value), @intCast(value.len)));
}

/// Records an ending of any kind as it stands.
pub fn rawFail(kind: i32, message: []const u8) Errno {
    return Errno.of(host.fail(kind, address(message), @intCast(message.len)));
}

/// Where bytes start; no bytes may start anywhere, but the host looks.
fn address(bytes: []const u8) [*]const u8 {
    return if (bytes.len > 0) bytes.ptr else "";
}

fn log(level: i32, message: []const u8) void {
    const text = clip(message, max_message);
    host.log(level, address(text), @intCast(text.len));
}

/// Shortens a text to so many bytes without cutting a character.
fn clip(text: []const u8, most: usize) []const u8 {
    if (text.len <= most) return text;
    var size = most;
    while (size > 0 and text[size] & 0xc0 == 0x80) size -= 1;
    return text[0..size];
}

/// Runs a step and tells the host how it ended; an entry returns what this returns.
pub fn handle(comptime run: anytype) i32 {
    var arena = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
    var step = Step{ .allocator = arena.allocator(), .document = .{} };
    const size = host.input_size();
    const input = arena.allocator().alloc(u8, @intCast(@max(size, 0))) catch return report(&step, error.OutOfMemory);
    if (size <= 0 or host.input_read(input.ptr, 0, @intCast(input.len)) != size) return report(&step, error.NoRunContext);
    step.document = Json.parse(input);
    step.run = step.document.read(Run, step.allocator) catch return report(&step, error.NoRunContext);
    run(&step) catch |e| return report(&step, e);
    return 0;
}

/// How a step ends that returned an error.
pub fn endingOf(step: *Step, e: anyerror) Ending {
    if (e == error.Ended) return step.ending;
    if (e == error.Mismatch) return .{ .kind = .permanent, .message = "an input does not have the expected shape" };
    if (e != error.Refused) return .{ .kind = .failed, .message = @errorName(e) };
    const refusal = step.refusal;
    const name = @tagName(refusal.errno);
    const useless = refusal.errno == .denied or refusal.errno == .invalid or refusal.errno == .unknown_op;
    const why = if (refusal.message.len > 0) refusal.message else name;
    const text = std.mem.concat(step.allocator, u8, &.{ refusal.op, ": ", why }) catch why;
    return .{ .kind = if (useless) .permanent else .failed, .message = text, .code = name };
}

fn report(step: *Step, e: anyerror) i32 {
    var ending = endingOf(step, e);
    if (ending.kind == .ok) ending.kind = .failed; // an error never ends a step well
    const kind = @intFromEnum(ending.kind);
    ending.message = clip(ending.message, max_message);
    if (ending.code.len == 0 and ending.after_ms == 0 and !std.mem.startsWith(u8, ending.message, "{")) {
        _ = rawFail(kind, ending.message);
        return kind;
    }
    var doc = structured(step, ending) catch return kind;
    while (doc.len > max_message) { // escapes take room
        ending.message = clip(ending.message, ending.message.len / 2);
        ending.code = clip(ending.code, ending.code.len / 2);
        doc = structured(step, ending) catch return kind;
    }
    _ = rawFail(kind, doc);
    return kind;
}

fn structured(step: *Step, ending: Ending) ![]const u8 {
    var doc = Doc{ .allocator = step.allocator };
    try doc.append("{");
    if (ending.code.len > 0) try doc.member("code", ending.code);
    try doc.member("message", ending.message);
    if (ending.after_ms > 0) try doc.member("retry_after_ms", ending.after_ms);
    try doc.append("}");
    return doc.bytes();
}

// ---- tests ----

fn walk(json: Json, allocator: std.mem.Allocator) void {
    _ = json.text(allocator) catch null;
    _ = json.number(f64);
    _ = json.number(i64);
    _ = json.get("a");
    var elements = json.elements();
    while (elements.next()) |e| walk(e, allocator);
    var members = json.members();
    while (members.next()) |m| walk(m.value, allocator);
}

test "every beginning of a document is read" {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    const docs = [_][]const u8{
        "{\"a\":[1,2.5e-3,{\"b\":\"x\\ud83d\\ude00\\u00e9\\n\"}],\"a\":null,\"c\":true}", "{\"a\\",    "\"\\u12\"", "\"\\ud800\\u\"",
        "\"\\ud800\\udc\"",                                                               "[}",        "{]",        "{\"a\"}",
        "{:}",                                                                            "[,]",       "-",         "1e",
        "0x10",                                                                           "{1:2,3:4}", "\"\\\"",    "\"\\\xff\"",
        "[1 2]",                                                                          "{\"a\" 1}", "nul",       "\"",
    };
    for (docs) |doc| {
        for (0..doc.len + 1) |end| walk(Json.parse(doc[0..end]), arena.allocator());
    }
    try std.testing.expect(Json.parse("[" ** 67 ++ "]" ** 67).isMissing());
    try std.testing.expect(!Json.parse("[" ** 66 ++ "]" ** 66).isMissing());
}

test "values are read and written" {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    const Inputs = struct { rows: []const f64, name: []const u8, note: ?[]const u8, flag: bool = true };
    const got = try Json.parse("{\"rows\":[1,2.5],\"name\":\"\\ud83d\\ude00\\ud83d!\",\"note\":null}").read(Inputs, arena.allocator());
    try std.testing.expectEqualStrings("😀\u{fffd}!", got.name);
    var doc = Doc{ .allocator = arena.allocator() };
    try doc.put(.{ .got = got, .l = .{ 1, "a\"\n", null, 1e300, 0.1 } });
    try std.testing.expectEqualStrings(
        "{\"got\":{\"rows\":[1,2.5],\"name\":\"😀\u{fffd}!\",\"note\":null,\"flag\":true},\"l\":[1,\"a\\\"\\u000a\",null,1e300,0.1]}",
        doc.bytes(),
    );
    try std.testing.expectError(error.Mismatch, Json.parse("{\"rows\":1}").read(Inputs, arena.allocator()));
}
