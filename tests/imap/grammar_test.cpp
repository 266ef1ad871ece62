#include <catch2/catch.hpp>
#include <string>

#include "imap/arguments.h"
#include "imap/mutf7.h"
#include "imap/number_set.h"
#include "imap/response.h"
#include "imap/search_program.h"
#include "imap/section.h"

using namespace mail::imap;
using mail::Result;

TEST_CASE("number sets stay sorted and merged") {
  NumberSet set;
  set.add(5);
  set.add(7);
  set.add(6);
  set.add(1, 2);
  CHECK(set.text() == "1:2,5:7");
  CHECK(set.count() == 5);
  set.add(3, 4);
  CHECK(set.text() == "1:7");
  set.remove(4);
  CHECK(set.text() == "1:3,5:7");
  set.remove(1);
  set.remove(7);
  set.remove(99);
  CHECK(set.text() == "2:3,5:6");
  CHECK(set.contains(5));
  CHECK_FALSE(set.contains(4));
  set.add(4'294'967'295U);
  CHECK(set.text() == "2:3,5:6,4294967295");
  set.add(1, 4'294'967'295U);
  CHECK(set.text() == "1:4294967295");
}

TEST_CASE("sequence sets") {
  const auto resolve = [](const char* text, std::uint32_t highest) {
    return SequenceSet::parse(text)->resolve(highest).text();
  };
  CHECK(resolve("2,4:7,9,12:*", 15) == "2,4:7,9,12:15");
  CHECK(resolve("*:4,5:7", 10) == "4:10");
  CHECK(resolve("559:*", 3) == "3:559");  // holds the highest
  CHECK(resolve("*", 0).empty());
  CHECK(resolve("9:7", 20) == "7:9");
  CHECK(SequenceSet::parse("$")->saved());
  for (const char* bad : {"", "0", "1:", ":1", "1,", ",1", "1:2:3", "a", "4294967296", "-1", "01", "1 2", "**"})
    CHECK_FALSE(SequenceSet::parse(bad));
  std::string many = "1:*";
  for (std::size_t i = 0; i < SequenceSet::kMostRanges; ++i) many += ",1:*";
  CHECK_FALSE(SequenceSet::parse(many));
}

TEST_CASE("modified UTF-7") {
  CHECK(from_mutf7("~peter/mail/&U,BTFw-/&ZeVnLIqe-") == "~peter/mail/台北/日本語");
  CHECK(to_mutf7("~peter/mail/台北/日本語") == "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
  CHECK(to_mutf7("Projets é 日本") == "Projets &AOk- &ZeVnLA-");
  CHECK(to_mutf7("a&b") == "a&-b");
  CHECK(to_mutf7("\xf0\x9f\x98\x8a") == "&2D3eCg-");
  CHECK(from_mutf7("&2D3eCg-") == "\xf0\x9f\x98\x8a");
  for (const char* bad :
       {"&", "&AOk", "&AOk-&AOk-", "&AGE-", "&2D0-", "&3go-", "\xc3\xa9", "&A-", "&AOl!-", "a\tb", "&AOkA-"}) {
    INFO(bad);
    CHECK_FALSE(from_mutf7(bad));
  }
  CHECK(mailbox_name_from_wire("日本", false) == "日本");
  CHECK(mailbox_name_from_wire("a&-b", false) == "a&b");
  CHECK(mailbox_name_from_wire("a&-b", true) == "a&-b");
  CHECK_FALSE(mailbox_name_from_wire("\xff", true));
}

TEST_CASE("LIST patterns") {
  CHECK(list_pattern_matches("*", "a/b", '/'));
  CHECK(list_pattern_matches("%", "a", '/'));
  CHECK_FALSE(list_pattern_matches("%", "a/b", '/'));
  CHECK(list_pattern_matches("%/%", "a/b", '/'));
  CHECK(list_pattern_matches("*b", "a/b", '/'));
  CHECK(list_pattern_matches("inbox", "INBOX", '/'));
  CHECK(list_pattern_matches("iNb*", "INBOX/a", '/'));
  CHECK_FALSE(list_pattern_matches("inboxes", "INBOXES", '/'));
  CHECK_FALSE(list_pattern_matches("a", "A", '/'));
  CHECK_FALSE(list_pattern_matches("", "a", '/'));
  CHECK_FALSE(list_pattern_matches("a%", "a/", '/'));
  CHECK(list_pattern_matches("a*", "a/", '/'));
  std::string hostile;
  for (int i = 0; i < 500; ++i) hostile += "*a%";
  CHECK_FALSE(list_pattern_matches(hostile + "b", std::string(1000, 'a'), '/'));
}

TEST_CASE("strings") {
  const auto astring = [](std::string_view text) { return Arguments(text).astring(); };
  CHECK(astring("abc") == std::string("abc"));
  CHECK(astring("a]b") == std::string("a]b"));
  CHECK(astring(R"("a \"b\" \\")") == std::string(R"(a "b" \)"));
  CHECK(astring("{3}\r\na\r\n") == std::string("a\r\n"));
  CHECK(astring("{3+}\r\nabc") == std::string("abc"));
  CHECK(astring("\"日本語\"") == std::string("日本語"));
  CHECK_FALSE(astring(R"("a\b")"));
  CHECK_FALSE(astring("\"abc"));
  CHECK_FALSE(astring("{5}\r\nab"));
  CHECK_FALSE(astring("{18446744073709551615}\r\nab"));
  CHECK_FALSE(astring(std::string_view("{3}\r\na\0b", 8)));  // CVE-2019-11500: NUL is no text
  CHECK(Arguments(std::string_view("~{3}\r\na\0b", 9)).literal() == std::string_view("a\0b", 3));
  CHECK(Arguments("nil").nstring()->has_value() == false);
  std::string deep(10'000, '(');
  CHECK_FALSE(Arguments(std::string_view(deep)).skip_value());
}

TEST_CASE("strings are written so that they can be read again") {
  const auto written = [](std::string_view text, bool utf8 = false) {
    std::string out;
    append_string(out, text, utf8);
    return out;
  };
  CHECK(written("a b") == "\"a b\"");
  CHECK(written(R"(a"\)") == R"("a\"\\")");
  CHECK(written("a\r\nb") == "{4}\r\na\r\nb");
  CHECK(written("é") == "{2}\r\né");
  CHECK(written("é", true) == "\"é\"");
  CHECK(written("\xff", true) == "{1}\r\n\xff");
  std::string out;
  append_astring(out, "NIL");
  append_astring(out, "");
  append_astring(out, "a.b");
  append_mailbox(out, "é", false);
  CHECK(out == "\"NIL\"\"\"a.b&AOk-");
}

TEST_CASE("dates") {
  const auto date_time = parse_date_time("17-Jul-1996 02:44:25 -0700");
  REQUIRE(date_time);
  std::string out;
  append_date_time(out, *date_time);
  CHECK(out == "17-Jul-1996 02:44:25 -0700");
  CHECK(date_time->instant.time_since_epoch().count() == 837596665);
  CHECK(parse_date_time(" 7-Jul-1996 02:44:25 +0000"));
  for (const char* bad : {"31-Feb-2000 00:00:00 +0000", "1-Jul-96 02:44:25 +0000", "17-Jul-1996 24:44:25 +0000",
                          "17-Jul-1996 02:44:25", "17-Jul-1996 02:44:25 +9960", "17-Xxx-1996 02:44:25 +0000", ""})
    CHECK_FALSE(parse_date_time(bad));
  CHECK(parse_date_text("1-Feb-1994"));
  CHECK(Arguments("\"1-feb-1994\"").date() == *parse_date_text("01-Feb-1994"));
}

TEST_CASE("sections") {
  const auto round = [](std::string_view text) -> std::string {
    Arguments arguments(text);
    auto attribute = take_fetch_attribute(arguments);
    if (!attribute || !arguments.at_end()) return "bad";
    std::string out = attribute->name;
    if (attribute->section) out += "[" + attribute->section->text() + "]";
    if (attribute->partial)
      out += "<" + std::to_string(attribute->partial->offset) + "." + std::to_string(attribute->partial->octets) + ">";
    return out;
  };
  for (const char* good :
       {"BODY[]", "BODY.PEEK[1.2.3]<0.100>", "BODY[HEADER.FIELDS (From To)]", "BODY[4.1.HEADER.FIELDS.NOT (X)]",
        "BODY[1.MIME]", "BODY[TEXT]", "RFC822.SIZE", "BINARY.PEEK[2]<10.5>", "BODY[HEADER.FIELDS (\"a b\")]"})
    CHECK(round(good) == good);
  CHECK(round("body.peek[header.fields (from)]") == "BODY.PEEK[HEADER.FIELDS (from)]");
  for (const char* bad : {"BODY[", "BODY[0]", "BODY[1.]", "BODY[MIME]", "BODY[HEADER.FIELDS]", "BODY[HEADER.FIELDS ()]",
                          "BODY[]<1>", "BODY[]<1.0>", "BODY[TEXT.1]"}) {
    INFO(bad);
    CHECK(round(bad) == "bad");
  }
  std::string deep = "BODY[1";
  for (int i = 0; i < 1000; ++i) deep += ".1";
  CHECK(round(deep + "]") == "bad");
  Arguments all("full");
  CHECK(take_fetch_attributes(all)->size() == 5);
}

TEST_CASE("search programs") {
  const auto printed = [](std::string_view text) -> std::string {
    Arguments arguments(text);
    auto search = take_search_arguments(arguments);
    return search ? search->key.print() : "bad: " + search.error().text;
  };
  CHECK(printed("FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"") == "(FLAGGED SINCE 01-Feb-1994 NOT HEADER From Smith)");
  CHECK(printed("OR (seen 1:3) ($ LARGER 5)") == "OR (SEEN 1:3) ($ LARGER 5)");
  CHECK(printed("CHARSET UTF-8 TEXT {2}\r\né") == "TEXT \"é\"");
  CHECK(printed("MODSEQ \"/flags/\\\\draft\" all 620162338") == "MODSEQ \"/flags/\\\\draft\" all 620162338");
  CHECK(printed("UNKEYWORD $Junk OLD NEW FUZZY BODY x SENTON 2-Mar-2020") ==
        "(UNKEYWORD $Junk OLD NEW FUZZY BODY x SENTON 02-Mar-2020)");
  for (const char* bad :
       {"", "FROM", "OR SEEN", "NOT", "(SEEN", "SEEN)", "BOGUS", "LARGER x", "SINCE 31-Feb-2000", "RETURN (BOGUS) ALL",
        "OLDER 0", "UID x", "KEYWORD \\*", "MODSEQ \"/flags/\" all 1", "MODSEQ \"/flags/\\\\S\x81n\" all 1"})
    CHECK(printed(bad).starts_with("bad"));
  std::string deep;
  for (int i = 0; i < 1'000'000; ++i) deep += "NOT ";
  CHECK(printed(deep + "ALL").starts_with("bad"));
  CHECK(printed(std::string(1'000'000, '(') + "ALL").starts_with("bad"));
  std::string wide = "ALL";
  for (int i = 0; i < 30'000; ++i) wide += " ALL";
  CHECK(printed(wide).starts_with("bad"));
}

TEST_CASE("RETURN options and sort keys") {
  Arguments none("()");
  CHECK(take_return_options(none)->all);
  Arguments save("(SAVE)");
  CHECK_FALSE(take_return_options(save)->all);
  Arguments partial("(PARTIAL -1:-100 COUNT)");
  CHECK(take_return_options(partial)->partial == std::pair<std::int64_t, std::int64_t>{-1, -100});
  Arguments mixed("(PARTIAL -1:100)");
  CHECK_FALSE(take_return_options(mixed));
  Arguments sort("(reverse DATE SUBJECT)");
  CHECK(*take_sort_keys(sort) == std::vector<SortKey>{{SortKey::By::date, true}, {SortKey::By::subject, false}});
  for (const char* bad : {"()", "(REVERSE)", "(X)", "DATE"}) {
    Arguments arguments{std::string_view(bad)};
    CHECK_FALSE(take_sort_keys(arguments));
  }
}
