#include "imap/command_reader.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "base/overloaded.h"
#include "imap/arguments.h"

using mail::imap::CommandReader;
using mail::imap::ReaderLimits;

namespace {

const ReaderLimits kLimits{.line_octets = 200, .literal_octets = 100, .message_octets = 1000, .skip_octets = 5000};

std::vector<std::string> events_of(const std::vector<std::string>& pieces, bool divert = false) {
  CommandReader reader(kLimits);
  std::vector<std::string> out;
  std::string diverted;
  for (const auto& piece : pieces) {
    reader.receive(piece);
    while (auto event = reader.next())
      std::visit(mail::overloaded{
                     [&](const CommandReader::Command& c) {
                       out.push_back(std::string(c.tag) + "|" + std::string(c.name) + "|" + std::string(c.arguments));
                       if (c.name == "IDLE")
                         reader.expect_line();
                       else
                         reader.finish();
                     },
                     [&](const CommandReader::Literal& l) {
                       out.push_back((l.synchronizing ? "sync " : "plus ") + std::to_string(l.octets));
                       if (divert)
                         reader.divert_literal();
                       else
                         reader.accept_literal();
                     },
                     [&](const CommandReader::LiteralOctets& o) {
                       diverted += o.octets;
                       if (o.last) out.push_back("diverted " + diverted), diverted.clear();
                     },
                     [&](const CommandReader::Line& l) {
                       out.push_back("line " + std::string(l.text));
                       reader.finish();
                     },
                     [&](const CommandReader::Refused& r) {
                       out.push_back(r.tag + (r.too_big ? " toobig " : " bad ") + (r.fatal ? "fatal " : "") + r.text);
                     },
                 },
                 *event);
  }
  return out;
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("commands are framed by lines and literals") {
  CHECK(events_of({"a1 noop\r\n-lYAjw Uid Fetch 1 FLAGS\r\n"}) == Strings{"a1|NOOP|", "-lYAjw|UID FETCH|1 FLAGS"});
  CHECK(events_of({"a LOGIN {3}\r\nann \"x\"\r\n"}) == Strings{"sync 3", "a|LOGIN|{3}\r\nann \"x\""});
  CHECK(events_of({"a LOGIN {3+}\r\nann {2+}\r\n\"}\r\n"}) ==
        Strings{"plus 3", "plus 2", "a|LOGIN|{3+}\r\nann {2+}\r\n\"}"});
  // A bare LF ends a line too, for those who type by hand.
  CHECK(events_of({"a LOGIN {1}\nx y\n"}) == Strings{"sync 1", "a|LOGIN|{1}\r\nx y"});
  // In quotes a brace is text.
  CHECK(events_of({"a LOGIN \"x {5}\r\nb NOOP\r\n"}) == Strings{"a|LOGIN|\"x {5}", "b|NOOP|"});
  CHECK(events_of({"a IDLE\r\nDONE\r\nb NOOP\r\n"}) == Strings{"a|IDLE|", "line DONE", "b|NOOP|"});
}

TEST_CASE("what is malformed is refused, and reading is in step again") {
  CHECK(events_of({"\r\nb NOOP\r\n"}) == Strings{"* bad Invalid tag", "b|NOOP|"});
  CHECK(events_of({"a\r\nb NOOP\r\n"}) == Strings{"* bad Invalid tag", "b|NOOP|"});
  CHECK(events_of({"+a NOOP\r\nb NOOP\r\n"}) == Strings{"* bad Invalid tag", "b|NOOP|"});
  CHECK(events_of({std::string("a NO\0OP\r\nb NOOP\r\n", 17)}) == Strings{"a bad NUL in a command", "b|NOOP|"});
  CHECK(events_of({"a NOOP " + std::string(300, 'x') + "\r\nb NOOP\r\n"}) ==
        Strings{"a bad Command line is too long", "b|NOOP|"});
  CHECK(events_of({std::string(100'000, 't') + " NOOP\r\nb NOOP\r\n"}) ==
        Strings{"* bad Command line is too long", "b|NOOP|"});
}

TEST_CASE("literals beyond the limits are refused before they are read") {
  // Synchronizing: no octet of it comes.
  CHECK(events_of({"a SEARCH BODY {4294967296}\r\nb NOOP\r\n"}) == Strings{"a bad Literal is too big", "b|NOOP|"});
  CHECK(events_of({"a APPEND x {1001}\r\nb NOOP\r\n"}) == Strings{"a toobig Message is too big", "b|NOOP|"});
  // Non-synchronizing: it is read away with all that belongs to the command.
  CHECK(events_of({"a APPEND x {1001+}\r\n" + std::string(1001, 'x') + " {5+}\r\nabcde {3}\r\nb NOOP\r\n"}) ==
        Strings{"a toobig Message is too big", "b|NOOP|"});
  CHECK(events_of({"a SEARCH BODY {99+}\r\n" + std::string(99, 'x') + " BODY {2+}\r\nab\r\nb NOOP\r\n"}) ==
        Strings{"plus 99", "a bad Literal is too big", "b|NOOP|"});
  CHECK(events_of({"a APPEND x {18446744073709551617+}\r\n"}) == Strings{"a toobig fatal Message is too big"});
  CHECK(events_of({"+ {3+}\r\nabc\r\nb NOOP\r\n"}) == Strings{"* bad Invalid command", "b|NOOP|"});
}

TEST_CASE("however the input is split, the events are the same") {
  const std::string input =
      "a LOGIN {3+}\r\nann {2+}\r\nxy\r\nb APPEND x (\\Seen) {10+}\r\n0123456789 {3+}\r\nabc\r\nc APPEND x "
      "{2000+}\r\n" +
      std::string(2000, 'z') + "\r\n\r\nd IDLE\r\nDONE\r\ne NOOP " + std::string(300, 'x') + "\r\nf \"{3}\r\ng NOOP\n";
  for (const bool divert : {false, true}) {
    const auto whole = events_of({input}, divert);
    CHECK(whole.back() == "g|NOOP|");
    for (std::size_t cut = 0; cut <= input.size(); ++cut)
      CHECK(events_of({input.substr(0, cut), input.substr(cut)}, divert) == whole);
    Strings octets;
    for (const char c : input) octets.emplace_back(1, c);
    CHECK(events_of(octets, divert) == whole);
  }
}

TEST_CASE("a diverted literal leaves a marker that no client can write") {
  CHECK(events_of({"b APPEND x {10+}\r\n0123456789 {3+}\r\nabc\r\n"}, true) ==
        Strings{"plus 10", "diverted 0123456789", "plus 3", "diverted abc", "b|APPEND|x {#0}\r\n {#1}\r\n"});
  CHECK(events_of({"b APPEND x {#0}\r\nc NOOP\r\n"}) == Strings{"b|APPEND|x {#0}", "c|NOOP|"});
}

TEST_CASE("after STARTTLS nothing is left of what came in clear") {
  CommandReader reader(kLimits);
  reader.receive("a STARTTLS\r\nb LOGIN ann secret\r\n");
  REQUIRE(std::holds_alternative<CommandReader::Command>(*reader.next()));
  reader.receive("c NOOP\r\n");
  reader.tls_started();
  CHECK_FALSE(reader.next());
  CHECK(reader.held() == 0);
}

TEST_CASE("what comes while a command is executed waits, and does not disturb it") {
  CommandReader reader(kLimits);
  reader.receive("a FETCH 1 FLAGS\r\n");
  const auto event = reader.next();
  const auto command = std::get<CommandReader::Command>(*event);
  for (int i = 0; i < 100; ++i) reader.receive("b NOOP\r\n");
  CHECK(command.arguments == "1 FLAGS");
  CHECK_FALSE(reader.next());
  reader.finish();
  CHECK(std::get<CommandReader::Command>(*reader.next()).name == "NOOP");
}

TEST_CASE("an idle reader holds nothing") {
  CommandReader reader(kLimits);
  reader.receive("a NOOP" + std::string(150, ' ') + "\r\n");
  REQUIRE(reader.next());
  reader.finish();
  CHECK(reader.held() == 0);
}
