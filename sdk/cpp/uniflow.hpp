/*
 * uniflow.hpp: the C++ kit for steps of Uniflow, one header over uniflow.h.
 *
 *     #include "uniflow.hpp"
 *
 *     static uniflow::ending greet(uniflow::step &s) {
 *         auto name = s.with["name"].as_text();
 *         if (!name) return uniflow::permanent("with.name must be a text");
 *         s.output("greeting", *name);
 *         return uniflow::ok();
 *     }
 *     UNIFLOW_ENTRY(uniflow_run, greet)
 *
 * It needs C++17 and clang with wasm-ld: neither exceptions nor run-time types,
 * neither a libc nor a C++ library; with one, texts convert to and from
 * std::string_view. Nothing has to be freed. A service answers with a result:
 * what was asked for, or the refusal, which is an ending too.
 */
#ifndef UNIFLOW_HPP
#define UNIFLOW_HPP

#include "uniflow.h"

#if defined(__has_include)
#if __has_include(<string_view>)
#include <string_view>
#define UNIFLOW_STD 1
#endif
#endif

namespace uniflow {

/* A piece of text that belongs to somebody else. */
class text {
public:
    constexpr text() = default;
    constexpr text(const char *at, uint32_t size) : at_(at), size_(size) {}
    text(const char *s) : at_(s), size_(uf_strlen(s)) {}
    text(uf_str s) : at_(s.at), size_(s.len) {}
#ifdef UNIFLOW_STD
    text(std::string_view s) : at_(s.data()), size_(static_cast<uint32_t>(s.size())) {}
    operator std::string_view() const { return {at_, size_}; }
#endif
    operator uf_str() const { return {at_, size_}; }
    const char *data() const { return at_; }
    uint32_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const char *begin() const { return at_; }
    const char *end() const { return at_ + size_; }
    friend bool operator==(text a, text b) { return uf_equal(a, b); }
    friend bool operator!=(text a, text b) { return !uf_equal(a, b); }

private:
    const char *at_ = nullptr;
    uint32_t size_ = 0;
};

/* A value that may be missing. */
template <class T> class maybe {
public:
    maybe() = default;
    maybe(T v) : value_(v), has_(true) {}
    explicit operator bool() const { return has_; }
    const T &operator*() const { return value_; }
    const T *operator->() const { return &value_; }
    T value_or(T other) const { return has_ ? value_ : other; }

private:
    T value_{};
    bool has_ = false;
};

/* One JSON value as it stands in a document: output it, and it passes byte for
 * byte. What is missing, malformed or of another type reads as missing. */
class value {
public:
    value() = default;
    value(uf_json v) : v_(v) {}
    static value parse(text document) { return uf_parse(document); }

    bool missing() const { return v_.len == 0; }
    bool is_null() const { return uf_is_null(v_); }
    bool is_object() const { return uf_is(v_, '{'); }
    bool is_list() const { return uf_is(v_, '['); }
    text raw() const { return v_; }
    value operator[](const char *name) const { return uf_get(v_, name); }

    maybe<text> as_text() const { return uf_is(v_, '"') ? maybe<text>(uf_text(v_)) : maybe<text>(); }
    maybe<int64_t> as_int() const {
        int64_t n;
        return uf_int(v_, &n) ? maybe<int64_t>(n) : maybe<int64_t>();
    }
    maybe<double> as_number() const {
        double n;
        return uf_number(v_, &n) ? maybe<double>(n) : maybe<double>();
    }
    maybe<bool> as_bool() const {
        int yes;
        return uf_bool(v_, &yes) ? maybe<bool>(yes != 0) : maybe<bool>();
    }

    /* For loops over the elements of a list: for (value v : list). */
    class iterator {
    public:
        iterator() = default;
        explicit iterator(uf_json list) : rest_(uf_each(list)) { ++*this; }
        value operator*() const { return now_; }
        iterator &operator++() {
            if (!uf_next(&rest_, &now_)) now_ = uf_missing();
            return *this;
        }
        bool operator!=(const iterator &) const { return now_.len != 0; }

    private:
        uf_iter rest_{nullptr, nullptr};
        uf_json now_{nullptr, 0};
    };
    iterator begin() const { return is_list() ? iterator(v_) : iterator(); }
    iterator end() const { return iterator(); }

    /* each_member calls f(name, value) for the members of an object. */
    template <class F> void each_member(F f) const {
        uf_json name, member;
        if (!is_object()) return;
        for (uf_iter it = uf_each(v_); uf_next_member(&it, &name, &member);) f(text(uf_text(name)), value(member));
    }

private:
    uf_json v_{nullptr, 0};
};

/* JSON that is being written: json::object().add("rows", 3).add("name", text).
 * It grows as needed; without memory it is broken, and output says so. */
class json {
public:
    static json object() { return json('{', '}'); }
    static json list() { return json('[', ']'); }

    template <class T> json &add(const char *name, const T &v) { return separate(), put(text(name)), raw(":"), put(v), *this; }
    template <class T> json &add(text name, const T &v) { return separate(), put(name), raw(":"), put(v), *this; }
    template <class T> json &add(const T &v) { return separate(), put(v), *this; }

    /* finished returns the document; nothing can be added afterwards. */
    uf_buf finished() {
        if (close_) raw(text(&close_, 1)), close_ = 0;
        return b_;
    }

    /* of returns one value alone as JSON. */
    template <class T> static uf_buf of(const T &v) {
        json j;
        j.put(v);
        return j.b_;
    }

    /* A copy grows elsewhere. */
    json(const json &o) : b_{o.b_.at, o.b_.len, o.b_.len, o.b_.broken}, close_(o.close_) {}
    json &operator=(const json &o) { return b_ = {o.b_.at, o.b_.len, o.b_.len, o.b_.broken}, close_ = o.close_, *this; }

private:
    json() = default;
    json(char open, char close) : close_(close) { raw(text(&open, 1)); }

    void raw(text s) {
        if (s.size() > b_.cap - b_.len) grow(s.size());
        uf_put_raw(&b_, s);
    }
    void grow(uint32_t more) {
        uf_buf larger = uf_buffer(b_.cap * 2 + more + 64);
        larger.broken |= b_.broken;
        uf_put_raw(&larger, {b_.at, b_.len});
        b_ = larger;
    }
    void separate() {
        if (b_.len > 1) raw(text(",", 1));
    }
    void room(uint32_t n) {
        if (n > b_.cap - b_.len) grow(n);
    }

    void put(text s) { room(s.size() * 6 + 2), uf_put_string(&b_, s); }
    void put(const char *s) { put(text(s)); }
    void put(value v) { raw(v.missing() ? text("null", 4) : v.raw()); }
    void put(uf_buf b) { b_.broken |= b.broken, raw(text(b.at, b.len)); }
    void put(json j) { put(j.finished()); }
    void put(bool yes) { raw(yes ? text("true", 4) : text("false", 5)); }
    void put(double n) { room(40), uf_put_number(&b_, n); }
    void put(int64_t n) { room(24), uf_put_int(&b_, n); }
    void put(int32_t n) { put(static_cast<int64_t>(n)); }
    void put(uint32_t n) { put(static_cast<int64_t>(n)); }
    void put(long n) { put(static_cast<int64_t>(n)); }
    void put(unsigned long n) { put(static_cast<int64_t>(n)); }
    template <class T> void put(const maybe<T> &v) {
        if (v) put(*v);
        else raw(text("null", 4));
    }
    void put(decltype(nullptr)) { raw(text("null", 4)); }
#ifdef UNIFLOW_STD
    void put(std::string_view s) { put(text(s)); }
#endif

    uf_buf b_{nullptr, 0, 0, 0};
    char close_ = 0;
};

/* ---- endings ---- */

/* How a step ends. */
struct ending {
    int32_t kind = UF_OK;
    text message;
    text code;            /* the plugin's own, may be empty */
    int64_t after_ms = 0; /* only for retry: how long to wait */
};

inline ending ok() { return {}; }
/* There was nothing to do; outputs are kept. */
inline ending skip(text why) { return {UF_SKIP, why, {}, 0}; }
/* A failure; the step's retry policy decides. */
inline ending failed(text why, text code = {}) { return {UF_FAILED, why, code, 0}; }
/* A transient failure; 0 leaves the wait to the step's policy. */
inline ending retry(text why, int64_t after_ms = 0, text code = {}) { return {UF_RETRY, why, code, after_ms}; }
/* Trying again is useless. */
inline ending permanent(text why, text code = {}) { return {UF_PERMANENT, why, code, 0}; }

/* join puts texts together. */
template <class... T> text join(T... parts) {
    uf_buf b = uf_buffer((text(parts).size() + ... + 0u));
    (uf_put_raw(&b, text(parts)), ...);
    return text(b.at, b.len);
}

/* Why a service said no. Returned from a step it is an ending: permanent where
 * asking again cannot help. */
struct refusal {
    text op;
    int32_t number = 0; /* UF_E_DENIED without a grant, UF_E_UNKNOWN_OP where the host does not offer the service */
    text code, message, hint;

    static refusal last() {
        return {uf_refused.op, uf_refused.number, uf_refused.code, uf_refused.message, uf_refused.hint};
    }
    operator ending() const {
        bool useless = number == UF_E_DENIED || number == UF_E_INVALID || number == UF_E_UNKNOWN_OP;
        text name = uf_error_name(number);
        return {useless ? UF_PERMANENT : UF_FAILED, join(op, ": ", message.empty() ? name : message), name, 0};
    }
};

/* What a service answers, or its refusal. */
template <class T> class result {
public:
    result(T v) : value_(v), good_(true) {}
    result(refusal r) : refusal_(r) {}
    explicit operator bool() const { return good_; }
    const T &operator*() const { return value_; }
    const T *operator->() const { return &value_; }
    const uniflow::refusal &refusal() const { return refusal_; }

private:
    T value_{};
    uniflow::refusal refusal_{};
    bool good_ = false;
};

struct done {}; /* of services that answer nothing */

/* ---- services ---- */

/* A request that the host makes, where a grant covers its method and URL. */
class http_request {
public:
    explicit http_request(text url, text method = "GET") : request_{method, url, nullptr, 0, {}, 0, {}} {}
    http_request &header(text name, text value) {
        auto *all = static_cast<uf_header *>(uf_alloc((request_.header_count + 1) * sizeof(uf_header)));
        if (!all) return *this;
        for (uint32_t i = 0; i < request_.header_count; i++) all[i] = request_.headers[i];
        all[request_.header_count++] = {name, value};
        request_.headers = all;
        return *this;
    }
    http_request &body(text content) { return request_.body = content, *this; }
    http_request &timeout_ms(int64_t ms) { return request_.timeout_ms = ms, *this; }
    /* The body of the response is stored as an artifact of this name. */
    http_request &into_artifact(text name) { return request_.artifact = name, *this; }
    const uf_http_request *c() const { return &request_; }

private:
    uf_http_request request_;
};

/* An answer; a status of 400 and more is one, too. */
struct http_response {
    int64_t status = 0;
    value headers; /* names in lower case, several values joined by ", " */
    text body;
    value artifact; /* the reference, where the request asked for one */
    maybe<text> header(const char *name) const { return headers[name].as_text(); }
    value json() const { return value::parse(body); }
};

struct host_info {
    text version, abi;
    value ops, limits;
};

/* What a step knows, and how it answers. */
class step {
public:
    explicit step(const uf_run &r)
        : tenant(r.tenant), project(r.project), pipeline(r.pipeline), version(r.version), label(r.label), run_id(r.run_id),
          name(r.step), function(r.function), idempotency_key(r.idempotency_key), trigger(r.trigger), schedule(r.schedule),
          scheduled_at(r.scheduled_at), interval_start(r.interval_start), interval_end(r.interval_end),
          started_at(r.started_at), deadline(r.deadline), last_success_at(r.last_success_at), attempt(r.attempt),
          max_attempts(r.max_attempts), item_index(r.item_index), with(r.with), context(r.context), item(r.item),
          features(r.features), document(r.doc) {}

    const text tenant, project, pipeline, version, label, run_id, name, function, idempotency_key, trigger, schedule;
    const text scheduled_at, interval_start, interval_end, started_at, deadline, last_success_at; /* RFC 3339, UTC */
    const int64_t attempt, max_attempts;
    const int64_t item_index; /* -1 outside a fan-out */
    const value with, context, item, features;
    const value document; /* the whole run context, for members that are not listed here */

    /* output sets a named output; the last one of a name wins. What the host
     * refuses fails the step in the end, so there is nothing to check here. */
    template <class T> void output(const char *name, const T &v) { output_buf(name, json::of(v)); }

    void debug(text message) const { uf_log_text(UF_DEBUG, message); }
    void info(text message) const { uf_log_text(UF_INFO, message); }
    void warn(text message) const { uf_log_text(UF_WARN, message); }
    void error(text message) const { uf_log_text(UF_ERROR, message); }

    /* progress says how far the step is, from 0 to 1; true when the attempt is being cancelled. */
    bool progress(double part, text message) const {
        uf_str m = uf_clip(message, UF_MESSAGE);
        return uf_import_progress(part > 0 ? static_cast<int32_t>((part < 1 ? part : 1) * 1000) : 0, m.at, m.len) == 1;
    }

    result<http_response> http(const http_request &request) const {
        uf_http_response got;
        if (uf_http(request.c(), &got) < 0) return refusal::last();
        return http_response{got.status, got.headers, got.body, got.artifact};
    }

    /* state is what the pipeline keeps at key; a missing value where there is nothing. */
    result<value> state(text key) const {
        uf_json v;
        if (uf_state_get(key, &v) < 0) return refusal::last();
        return value(v);
    }
    /* set_state keeps a value: later steps see it at once, other runs when this one succeeds. */
    template <class T> result<done> set_state(text key, const T &v) const {
        uf_buf b = json::of(v);
        return answer(uf_state_set(key, {b.at, b.len}));
    }
    result<done> delete_state(text key) const { return answer(uf_state_delete(key)); }
    /* list_state returns the list of the keys that begin with prefix, in order. */
    result<value> list_state(text prefix) const {
        uf_json keys;
        if (uf_state_list(prefix, &keys) < 0) return refusal::last();
        return value(keys);
    }

    result<text> secret(text name) const {
        uf_str v;
        if (uf_secret(name, &v) < 0) return refusal::last();
        return text(v);
    }

    /* put_artifact stores at most 8 MiB and returns the reference, to be set as an output. */
    result<value> put_artifact(text name, text type, text content) const {
        uf_json ref;
        if (uf_artifact_put(name, type, content, &ref) < 0) return refusal::last();
        return value(ref);
    }
    result<text> get_artifact(value ref) const {
        uf_str content;
        if (uf_artifact_get(ref.raw(), &content) < 0) return refusal::last();
        return text(content);
    }
    /* read_artifact returns a slice of an artifact of any size. */
    result<text> read_artifact(value ref, int64_t offset, int64_t length) const {
        uf_str slice;
        if (uf_artifact_read(ref.raw(), offset, length, &slice) < 0) return refusal::last();
        return text(slice);
    }

    /* emit records an event, type in reverse DNS, and returns its id. */
    result<text> emit(text type, text subject = {}, value data = {}) const {
        uf_str id;
        if (uf_emit(type, subject, data.raw(), &id) < 0) return refusal::last();
        return text(id);
    }
    result<text> emit(text type, text subject, json data) const {
        uf_buf b = data.finished();
        return emit(type, subject, value(uf_json{b.at, b.len}));
    }

    result<host_info> host() const {
        uf_host h;
        if (uf_host_info(&h) < 0) return refusal::last();
        return host_info{h.version, h.abi, h.ops, h.limits};
    }

    /* call asks any service; body is the part of the request that is not JSON. */
    result<text> call(const char *op, text request, text body = {}) const {
        uf_str response;
        if (uf_call_body(op, request, body, &response) < 0) return refusal::last();
        return text(response);
    }

    int32_t outputs_refused() const { return refused_; }

private:
    void output_buf(const char *name, const uf_buf &b) {
        int32_t end = uf_output(name, &b);
        if (end != UF_OK) refused_ = end;
    }
    static result<done> answer(int32_t n) {
        if (n < 0) return refusal::last();
        return done{};
    }

    int32_t refused_ = UF_OK;
};

/* handle runs a step and tells the host how it ended. */
inline int32_t handle(ending (*f)(step &)) {
    uf_run run;
    if (uf_read_run(&run) != UF_OK) return UF_FAILED;
    step s(run);
    ending e = f(s);
    if (e.kind == UF_OK) return s.outputs_refused();
    return uf_end(e.kind, e.code, e.message, e.after_ms);
}

} // namespace uniflow

/* UNIFLOW_ENTRY(name, function) exports the entry that a manifest calls by
 * function = "name"; the default is uniflow_run. */
#define UNIFLOW_ENTRY(name, function)        \
    UF_C UF_EXPORT(name) int32_t name(void) { \
        uf_arena_empty();                    \
        return uniflow::handle(function);    \
    }

#endif
