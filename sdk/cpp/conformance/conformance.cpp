// The conformance program of the C++ kit; sdk/abi/testdata/README.md says what it does.
#include "uniflow.hpp"

using namespace uniflow;

static text text_of(const step &s, const char *name) { return s.with[name].as_text().value_or(""); }

static ending values(step &s) {
    value numbers = s.with["numbers"];
    auto words = s.with["text"].as_text();
    auto flag = s.with["flag"].as_bool();
    if (!numbers.is_list() || !words || !flag) return permanent("with needs numbers, text and flag");
    double sum = 0;
    int count = 0;
    for (value v : numbers) {
        auto n = v.as_number();
        if (!n) return permanent("numbers must hold numbers");
        sum += *n, count++;
    }
    s.output("sum", sum);
    s.output("count", count);
    s.output("text", words);
    s.output("flag", flag);
    return ok();
}

static ending context(step &s) {
    s.output("pipeline", s.pipeline);
    s.output("step", s.name);
    s.output("attempt", s.attempt);
    s.output("trigger", s.trigger);
    s.output("station", s.context["station"]);
    return ok();
}

static ending item(step &s) {
    s.output("item", s.item);
    s.output("index", s.item_index < 0 ? maybe<int64_t>() : s.item_index);
    return ok();
}

static ending logs(step &s) {
    s.debug("one");
    s.info("two");
    s.warn("three: ü");
    s.error("four");
    s.output("cancelled", s.progress(0.5, "half"));
    return ok();
}

static ending http(step &s) {
    http_request request(text_of(s, "url"), text_of(s, "method"));
    if (auto header = s.with["header"].as_text()) request.header("content-type", *header);
    if (auto body = s.with["body"].as_text()) request.body(*body);
    auto got = s.http(request);
    if (!got) return got.refusal();
    s.output("status", got->status);
    s.output("type", got->header("content-type"));
    s.output("body", got->body);
    return ok();
}

static ending secret(step &s) {
    auto value = s.secret(text_of(s, "name"));
    if (!value) return value.refusal();
    s.output("value", *value);
    return ok();
}

static ending state(step &s) {
    text key = text_of(s, "key");
    auto before = s.state(key);
    if (!before) return before.refusal();
    int64_t n = before->as_int().value_or(0) + 1;
    if (auto set = s.set_state(key, n); !set) return set.refusal();
    if (auto gone = s.delete_state("old"); !gone) return gone.refusal();
    auto keys = s.list_state("");
    if (!keys) return keys.refusal();
    json list = json::list();
    for (value v : *keys) list.add(v.as_text());
    s.output("n", n);
    s.output("keys", list);
    return ok();
}

static ending artifact(step &s) {
    text part = text_of(s, "text");
    int64_t times = s.with["times"].as_int().value_or(0);
    uf_buf b = uf_buffer(part.size() * static_cast<uint32_t>(times));
    for (int64_t i = 0; i < times; i++) uf_put_raw(&b, part);
    auto ref = s.put_artifact(text_of(s, "name"), "text/plain", text(b.at, b.len));
    if (!ref) return ref.refusal();
    auto content = s.get_artifact(*ref);
    if (!content) return content.refusal();
    s.output("ref", *ref);
    s.output("size", content->size());
    if (content->size() <= 1000) s.output("text", *content);
    return ok();
}

static ending event(step &s) {
    auto id = s.emit(text_of(s, "type"), text_of(s, "subject"), s.with["data"]);
    if (!id) return id.refusal();
    s.output("id", *id);
    return ok();
}

static ending unknown(step &s) {
    auto answer = s.call("no.such", "{}");
    if (answer) return failed("no.such is not refused");
    s.output("code", answer.refusal().code);
    s.output("message", answer.refusal().message);
    s.output("hint", answer.refusal().hint);
    return ok();
}

static ending fail(step &s) {
    text kind = text_of(s, "kind"), code = text_of(s, "code"), message = text_of(s, "message");
    s.output("before", 1);
    if (kind == "skip") return skip(message);
    if (kind == "permanent") return permanent(message, code);
    if (kind == "retry") return retry(message, s.with["after_ms"].as_int().value_or(0), code);
    return failed(message, code);
}

static int32_t returned; // what a vector of attempt.json returns, past the kit

static ending attempt(step &s) {
    text names;
    for (value call : s.with["calls"]) {
        text key = call["key"].as_text().value_or(""), value = call["value"].as_text().value_or("");
        text why = call["text"].as_text().value_or("");
        int32_t n = call["do"].as_text().value_or("") == "fail"
            ? uf_import_fail(static_cast<int32_t>(call["kind"].as_int().value_or(0)), why.data(), why.size())
            : uf_import_output(key.data(), key.size(), value.data(), value.size());
        names = join(names, names.empty() ? "" : " ", uf_error_name(-n));
    }
    s.info(names);
    returned = static_cast<int32_t>(s.with["return"].as_int().value_or(0));
    return ok();
}

static ending run(step &s) {
    struct {
        const char *name;
        ending (*run)(step &);
    } const cases[] = {{"values", values}, {"context", context}, {"item", item}, {"log", logs}, {"http", http},
        {"secret", secret}, {"state", state}, {"artifact", artifact}, {"event", event}, {"unknown", unknown},
        {"fail", fail}, {"attempt", attempt}};
    text which = text_of(s, "case");
    if (which == "echo") return s.output("document", s.with["document"]), ok();
    for (auto &c : cases)
        if (which == c.name) return c.run(s);
    uf_buf quoted = json::of(which);
    return permanent(join("unknown case ", text(quoted.at, quoted.len)));
}

UF_C UF_EXPORT(uniflow_run) int32_t uniflow_run(void) {
    int32_t end = handle(run);
    return returned ? returned : end;
}
