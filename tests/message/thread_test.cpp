#include "message/thread.h"

#include <catch2/catch.hpp>
#include <functional>
#include <set>

#include "base/strings.h"
#include "message/date.h"
#include "message/header.h"
#include "message/tree.h"
#include "tests/message/vectors.h"

using namespace mail;
using namespace mail::message;

namespace {

ThreadInput input(std::string_view text, std::uint32_t key) {
  const auto tree = parse(text);
  const auto field = [&](KnownField f) { return tree.field(tree.root(), f).value_or(std::string_view()); };
  ThreadInput out;
  out.key = key;
  if (const auto date = parse_date(field(KnownField::date))) out.sent = date->time;
  out.message_id = parse_message_id(field(KnownField::message_id));
  out.references = parse_message_ids(field(KnownField::references));
  if (out.references.empty())
    if (auto id = parse_message_id(field(KnownField::in_reply_to)); !id.empty()) out.references.push_back(id);
  out.subject = base_subject(field(KnownField::subject));
  return out;
}

std::vector<std::string> mbox(std::string_view text) {
  std::vector<std::string> messages;
  for (std::size_t at = text.find("From "); at != std::string_view::npos;) {
    const auto next = text.find("\nFrom ", at);
    const auto begin = text.find('\n', at) + 1;
    // Messages without Date go by the time of the From_ line, as IMAP's internal date.
    const auto from_line = text.substr(at, begin - at);
    messages.push_back(concat({"Date: ", from_line.substr(from_line.find("  ")),
                               text.substr(begin, next == std::string_view::npos ? next : next + 1 - begin)}));
    at = next == std::string_view::npos ? next : next + 1;
  }
  return messages;
}

}  // namespace

TEST_CASE("base subjects (RFC 5256 section 2.1)") {
  const auto base = [](std::string_view text) { return base_subject(text).text; };
  CHECK(base("Re: hello") == "hello");
  CHECK(base("RE: [list] Fwd: hello (fwd)") == "hello");
  CHECK(base("[a] [b] hello") == "hello");
  CHECK(base("[only]") == "[only]");
  CHECK(base("Re[2]: hello") == "hello");
  CHECK(base("[Fwd: hello]") == "hello");
  CHECK(base("=?utf-8?q?Re:_h=C3=A9?=") == base("H\xC3\x89"));
  CHECK(base("  a\r\n  b ") == "a b");
  CHECK(base("re") == "re");
  CHECK(base_subject("Re: x").is_reply_or_forward);
  CHECK_FALSE(base_subject("[x] y").is_reply_or_forward);
}

TEST_CASE("message ids") {
  CHECK(parse_message_ids("<a@b> (c) <d@\r\n e>") == std::vector<std::string>{"a@b", "d@e"});
  CHECK(parse_message_id("a@b") == "a@b");
  CHECK(parse_message_id("nonsense").empty());
}

TEST_CASE("imaptest's threads") {
  const auto folder = test::vectors("threading");
  if (folder.empty()) return;
  for (const std::string name : {"thread", "thread2", "thread3", "thread4", "thread5", "thread8"}) {
    const auto script = test::read_path(folder / "imaptest" / name);
    std::vector<ThreadInput> inputs;
    std::uint32_t key = 0;
    for (const auto& message : mbox(test::read_path(folder / "imaptest" / (name + ".mbox"))))
      inputs.push_back(input(message, ++key));
    const auto first = script.substr(0, script.find("ok thread"));
    std::size_t appended = 0;
    for (auto at = first.find("ok append"); at != std::string::npos; at = first.find("ok append", at + 1)) ++appended;
    if (appended > 0) inputs.resize(std::min(appended, inputs.size()));
    std::string algorithm, expected;
    for (const auto line : split(script, '\n')) {
      if (istarts_with(line, "ok thread ")) algorithm = to_lower(split_words(line)[2]);
      if (istarts_with(line, "ok store")) break;
      if (!istarts_with(line, "* thread")) continue;
      expected = trim(line.substr(8));
      const auto found = to_imap(algorithm == "references" ? thread_by_references(inputs)
                                 : algorithm == "refs"     ? thread_by_references(inputs, false)
                                                           : thread_by_subject(inputs));
      INFO(name << " " << algorithm);
      if (expected.find('$') == std::string::npos) CHECK(found == expected);
    }
  }
}

TEST_CASE("real lists: each message once, no circle, the same in any order") {
  std::vector<ThreadInput> inputs;
  std::uint32_t key = 0;
  const auto folder = test::vectors("threading");
  if (folder.empty()) return;
  for (const auto& path : test::files_below(folder / "aerc-jwz")) inputs.push_back(input(test::read_path(path), ++key));
  REQUIRE_FALSE(inputs.empty());
  const auto threads = thread_by_references(inputs);
  std::set<std::uint32_t> seen;
  std::size_t count = 0;
  const std::function<void(const ThreadNode&)> visit = [&](const ThreadNode& node) {
    if (node.key != ThreadNode::kDummy) seen.insert(node.key), ++count;
    for (const auto& child : node.children) visit(child);
  };
  for (const auto& thread : threads) visit(thread);
  CHECK(count == inputs.size());
  CHECK(seen.size() == inputs.size());
  std::ranges::reverse(inputs);
  CHECK(to_imap(thread_by_references(inputs)) == to_imap(threads));
}

TEST_CASE("loops, and a thread of 100,000 replies") {
  std::vector<ThreadInput> loop(2);
  loop[0] = {1, {}, "a", {"b"}, {}};
  loop[1] = {2, {}, "b", {"a"}, {}};
  CHECK(to_imap(thread_by_references(loop)).size() == 5);
  std::vector<ThreadInput> deep;
  for (std::uint32_t i = 0; i < 100'000; ++i)
    deep.push_back(
        {i + 1, {}, decimal(i + 1), i == 0 ? std::vector<std::string>{} : std::vector<std::string>{decimal(i)}, {}});
  const auto threads = thread_by_references(deep);
  CHECK(threads.size() == 1);
  CHECK(to_imap(threads).size() > 500'000);
}
