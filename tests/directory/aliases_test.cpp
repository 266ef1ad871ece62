#include "directory/aliases.h"

#include <catch2/catch.hpp>

#include "base/process.h"

using namespace mail;
using namespace mail::directory;
using Kind = AliasTarget::Kind;

namespace {
std::vector<std::string> argv_of(const char* command) {
  const auto argv = split_command(command);
  return argv ? *argv : std::vector<std::string>{"error"};
}
}  // namespace

TEST_CASE("an aliases file as people write it") {
  std::vector<AliasProblem> problems;
  const auto table = AliasTable::parse(
      "# comment\n"
      "postmaster: root\n"
      "Root:\tann, bob@example.net,\n"
      "  carol\n"
      "\n"
      "  # comment inside\n"
      "\t\"dave lee\"@example.org\n"
      "list: :include:/etc/mail/list\n"
      "prog: \"|/usr/bin/prog -x 'a b', y\"\n"
      "prog2: |/usr/bin/prog, |\"/usr/bin/other arg\"\n"
      "file: /var/mail/file, /home/x/Maildir/\n"
      "null: /dev/null\n"
      "gone: \":error: moved, see www\"\n"
      "\"two words\": \\ann\n"
      "sales@example.org: ann\n"
      "@example.org: catch\n",
      problems);
  for (const auto& problem : problems) FAIL_CHECK(problem.line << ": " << problem.text);
  CHECK(table.size() == 11);
  CHECK(table.find("nobody") == nullptr);
  const auto& root = *table.find("root");
  REQUIRE(root.size() == 4);
  CHECK(root[1].text == "bob@example.net");
  CHECK(root[2].text == "carol");
  CHECK(root[3].text == "\"dave lee\"@example.org");
  CHECK((*table.find("list"))[0] == AliasTarget{Kind::include, "/etc/mail/list", {}});
  const auto& prog = *table.find("prog");
  CHECK(prog.size() == 1);
  CHECK(prog[0].kind == Kind::pipe);
  CHECK(prog[0].argv == std::vector<std::string>{"/usr/bin/prog", "-x", "a b,", "y"});
  CHECK((*table.find("prog2"))[1].argv == std::vector<std::string>{"/usr/bin/other", "arg"});
  CHECK((*table.find("file"))[1] == AliasTarget{Kind::file, "/home/x/Maildir/", {}});
  CHECK((*table.find("null"))[0].kind == Kind::discard);
  CHECK((*table.find("gone"))[0] == AliasTarget{Kind::error, "moved, see www", {}});
  CHECK((*table.find("two words"))[0].final);
  CHECK((*table.find("two words"))[0].text == "ann");
  CHECK(table.find("@example.org") != nullptr);
}

TEST_CASE("what cannot be understood is told with its line, and the rest counts") {
  std::vector<AliasProblem> problems;
  const auto table = AliasTable::parse(
      "good: ann\nno colon here\nempty:\nrel: |prog\ndots: /a/../b\nctl: a\x01z\nblank: a b\nquote: \"a\ngood: "
      "bob\nlast: x\n",
      problems);
  std::vector<int> lines;
  for (const auto& problem : problems) lines.push_back(problem.line);
  CHECK(lines == std::vector<int>{2, 3, 4, 5, 6, 7, 8, 9});
  CHECK((*table.find("good"))[0].text == "ann");
  CHECK((*table.find("last"))[0].text == "x");
  for (const auto* name : {"empty", "rel", "dots", "ctl", "blank"}) {  // there, and nothing that could be used
    REQUIRE(table.find(name) != nullptr);
    CHECK(table.find(name)->empty());
  }
  CHECK(table.find("no colon here") == nullptr);
}

TEST_CASE("an entry that can be used counts, wherever the one of that name stands that cannot") {
  std::vector<AliasProblem> problems;
  CHECK(AliasTable::parse("a: |prog\na: ann\n", problems).find("a")->size() == 1);
  CHECK(AliasTable::parse("a: ann\na: |prog\n", problems).find("a")->size() == 1);
  CHECK(problems.size() == 2);
}

TEST_CASE("a command becomes an argv list without a shell") {
  CHECK(argv_of("/bin/a b  c") == std::vector<std::string>{"/bin/a", "b", "c"});
  CHECK(argv_of("/bin/a \"$HOME; rm -rf *\" '`x`'") == std::vector<std::string>{"/bin/a", "$HOME; rm -rf *", "`x`"});
  CHECK(argv_of("/bin/a b\\ c ''") == std::vector<std::string>{"/bin/a", "b c", ""});
  CHECK(argv_of("\"/bin/a b\"") == std::vector<std::string>{"/bin/a", "b"});
  CHECK(argv_of("a b") == std::vector<std::string>{"error"});
  CHECK(argv_of("") == std::vector<std::string>{"error"});
  CHECK(argv_of("/bin/a 'b") == std::vector<std::string>{"error"});
}
