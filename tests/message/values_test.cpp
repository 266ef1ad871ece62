#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/strings.h"
#include "message/address.h"
#include "message/charset.h"
#include "message/date.h"
#include "message/encoded_word.h"
#include "message/header.h"
#include "message/html_text.h"
#include "message/parameters.h"
#include "tests/message/vectors.h"

using namespace mail;
using namespace mail::message;
using nlohmann::json;

namespace {

json vector_file(const std::string& kind, const std::string& name) {
  const auto folder = test::vectors(kind);
  return folder.empty() ? json::array() : json::parse(test::read_path(folder / name));
}

/// The vectors' inputs may hold what follows the field.
std::string first_field(const std::string& header) {
  const std::string text = "x:" + header;
  for (const auto& field : HeaderFields(text)) return std::string(field.value);
  return {};
}

}  // namespace

TEST_CASE("encoded words of RFC 2047 and RFC 2231") {
  for (const auto& test : vector_file("rfc-examples", "encoded-words.json")) {
    INFO(test.dump());
    CHECK(decode_header_text(test["input"].get<std::string>()) == test["display"].get<std::string>());
  }
}

TEST_CASE("unstructured fields as found in mail") {
  for (const auto& test : vector_file("headers", "mail-parser/unstructured.half.json")) {
    const auto header = test["header"].get<std::string>();
    INFO(test.dump());
    auto found = decode_header_text(first_field(header));
    // That parser makes its own of white space and adds some around encoded words; we keep what was written (RFC 5322
    // section 2.2.3).
    const auto squeeze = [](const std::string& text) { return std::regex_replace(text, std::regex("[ \t]+"), ""); };
    CHECK(squeeze(found) ==
          squeeze(trim(test["expected"].is_null() ? std::string() : test["expected"].get<std::string>()).data()));
  }
}

TEST_CASE("parameters of RFC 2231") {
  for (const auto& test : vector_file("rfc-examples", "mime-parameters.json")) {
    INFO(test.dump());
    const auto parameters = decode_parameters(parse_parameterized(test["input"].get<std::string>()).parameters);
    for (const auto& [name, value] : test["params"].items()) {
      const auto* found = find_parameter(parameters, name);
      REQUIRE(found != nullptr);
      CHECK(*found == value.get<std::string>());
    }
  }
}

TEST_CASE("content types as found in mail") {
  std::size_t all = 0, equal = 0;
  std::string different;
  for (const auto& test : vector_file("headers", "mail-parser/content_type.half.json")) {
    if (test["expected"].is_null()) continue;
    const auto header = test["header"].get<std::string>();
    const auto found = parse_parameterized(first_field(header));
    const auto parameters = decode_parameters(found.parameters);
    const auto text = [](const json& value) { return value.is_null() ? std::string() : value.get<std::string>(); };
    bool good = iequals(found.value, text(test["expected"]["c_type"])) &&
                iequals(found.subtype, text(test["expected"]["c_subtype"]));
    if (test["expected"]["attributes"].is_array())
      for (const auto& pair : test["expected"]["attributes"]) {
        const auto name = pair[0].get<std::string>();
        if (name.ends_with("-language")) continue;
        const auto* value = find_parameter(parameters, name);
        good = good && value != nullptr && *value == pair[1].get<std::string>();
      }
    ++all;
    equal += good ? 1 : 0;
    if (!good) different += test.dump() + "\n";
  }
  INFO(different);
  CHECK(equal * 100 >= all * 80);
}

TEST_CASE("dates as found in mail") {
  for (const auto& test : vector_file("headers", "mail-parser/date.half.json")) {
    INFO(test.dump());
    const auto found = parse_date(test["header"].get<std::string>());
    if (test["expected"].is_null()) continue;
    const auto& e = test["expected"];
    const int month = e["month"].get<int>(), day = e["day"].get<int>();
    if (month < 1 || month > 12 || day < 1) continue;
    REQUIRE(found);
    const auto zone = std::chrono::minutes(e["tz_hour"].get<int>() * 60 + e["tz_minute"].get<int>());
    const auto local = std::chrono::sys_days(std::chrono::year(e["year"].get<int>()) / month / day) +
                       std::chrono::hours(e["hour"].get<int>()) + std::chrono::minutes(e["minute"].get<int>()) +
                       std::chrono::seconds(e["second"].get<int>());
    CHECK(format_date({found->time, {}}) == format_date({local - (e["tz_before_gmt"].get<bool>() ? -zone : zone), {}}));
  }
}

TEST_CASE("dates print as RFC 5322 and IMAP want them, and back") {
  const auto date = parse_date("Fri, 21 Nov 1997 09:55:06 -0600");
  REQUIRE(date);
  CHECK(format_date(*date) == "Fri, 21 Nov 1997 09:55:06 -0600");
  CHECK(format_internal_date(*date) == "21-Nov-1997 09:55:06 -0600");
  CHECK(format_iso8601(*date) == "1997-11-21T09:55:06-06:00");
  CHECK(parse_internal_date("21-Nov-1997 09:55:06 -0600") == *date);
  CHECK(parse_internal_date(" 1-Feb-1994 21:52:25 -0800"));
  CHECK_FALSE(parse_internal_date("31-Feb-1994 21:52:25 -0800"));
  CHECK_FALSE(parse_internal_date("1-Feb-1994 21:52:25 -0800"));
  CHECK_FALSE(parse_internal_date(""));
  CHECK(format_asctime(date->time) == "Fri Nov 21 15:55:06 1997");
  CHECK(parse_date("Fri Nov 21 15:55:06 1997") == DateTime{date->time, {}});
  CHECK(parse_date("1997-11-21T09:55:06-06:00") == *date);
  CHECK(parse_date("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600") == *date);
  CHECK_FALSE(parse_date(""));
  CHECK_FALSE(parse_date("yesterday"));
  CHECK_FALSE(parse_date("31 Feb 2020 00:00:00 +0000"));
  CHECK_FALSE(parse_date("1 Jan 99999999 00:00:00 +0000"));
  CHECK(parse_date("Fri, 21 Nov 1997 09:55:06 EST")->zone_offset == std::chrono::hours(-5));
}

TEST_CASE("addresses as found in mail") {
  std::size_t all = 0, equal = 0;
  std::string different;
  for (const auto& test : vector_file("addresses", "mail-parser/address.half.json")) {
    std::vector<std::pair<std::string, std::string>> expected, found;
    const auto add = [&](const json& list) {
      for (const auto& item : list)
        expected.emplace_back(item["name"].is_null() ? "" : item["name"].get<std::string>(),
                              item["address"].is_null() ? "" : item["address"].get<std::string>());
    };
    if (test["expected"].contains("List")) add(test["expected"]["List"]);
    if (test["expected"].contains("Group"))
      for (const auto& group : test["expected"]["Group"]) add(group["addresses"]);
    const auto header = test["header"].get<std::string>();
    for (const auto& mailbox : parse_mailboxes(first_field(header)))
      found.emplace_back(decode_header_text(mailbox.display_name),
                         mailbox.local_part + (mailbox.domain.empty() ? "" : "@" + mailbox.domain));
    ++all;
    if (found == expected) {
      ++equal;
    } else {
      different += test.dump();
      for (const auto& [name, address] : found) different += concat({"\n  found [", name, "] [", address, "]"});
      different += '\n';
    }
  }
  INFO(different);
  // Theirs joins comments into names and takes list URLs for addresses with a scheme; what is left must agree.
  CHECK(equal * 100 >= all * 75);
}

TEST_CASE("addr-specs of isemail") {
  const auto folder = test::vectors("addresses");
  if (folder.empty()) return;
  const auto xml = test::read_path(folder / "isemail/tests.half.xml");
  const std::regex test_pattern(
      "<test[^>]*>[^]*?<address>([^]*?)</address>[^]*?<category>([A-Z0-9_]*)</category>[^]*?<diagnosis>([A-Z0-9_]*)</"
      "diagnosis>");
  std::size_t all = 0;
  for (std::sregex_iterator at(xml.begin(), xml.end(), test_pattern), end; at != end; ++at) {
    std::string address = (*at)[1].str();
    for (const auto& [from, to] :
         {std::pair{"&lt;", "<"}, std::pair{"&gt;", ">"}, std::pair{"&quot;", "\""}, std::pair{"&amp;", "&"}})
      address = replace_all(address, from, to);
    for (int c = 0; c < 0x20; ++c) {
      std::string symbol;
      append_utf8(symbol, static_cast<char32_t>(0x2400 + c));
      address = replace_all(address, symbol, std::string(1, static_cast<char>(c)));
      char reference[16];
      std::snprintf(reference, sizeof reference, "&#x%04X;", 0x2400U + static_cast<unsigned>(c));
      address = replace_all(address, reference, std::string(1, static_cast<char>(c)));
    }
    address = replace_all(address, "&#xA9;", "\xA9");
    const auto category = (*at)[2].str();
    const auto validity = validate_addr_spec(address);
    INFO(address << " " << category << " " << (*at)[3].str());
    ++all;
    if (category == "ISEMAIL_ERR") {
      CHECK(validity == AddressValidity::invalid);
    } else if (category == "ISEMAIL_VALID_CATEGORY" || category == "ISEMAIL_DNSWARN" || category == "ISEMAIL_RFC5321") {
      CHECK(validity == AddressValidity::smtp);
    } else {
      CHECK(validity == AddressValidity::header);
    }
  }
  CHECK(all >= 70);
}

TEST_CASE("addresses print so that parsing gives them back") {
  for (const std::string name :
       {"", "Ann", "Ann B. Lee", "a, b", "q\"uote\\", "é 日本語",
        "=?utf-8?q?x?=", "very long name that goes on and on with é for more than one encoded word can hold, really"})
    for (const std::string local : {"ann", "a.b", "a b", "\"", "a..b", ".", "é"})
      for (const std::string domain : {"example.net", "[192.0.2.1]", "bücher.example"}) {
        Address address;
        address.display_name = name, address.local_part = local, address.domain = domain;
        const auto header = to_header(address);
        CHECK(header.find('\n') == header.find("\r\n ") + (header.find('\n') == std::string::npos ? 0 : 1));
        const auto again = parse_mailboxes(header);
        REQUIRE(again.size() == 1);
        INFO(header);
        CHECK(decode_header_text(again.front().display_name) == name);
        CHECK(again.front().local_part == local);
        CHECK(again.front().domain == domain);
      }
}

TEST_CASE("what a user types must be one mailbox") {
  CHECK(parse_mailbox("ann@example.net"));
  CHECK(parse_mailbox("Ann <ann@example.net>")->display_name == "Ann");
  CHECK_FALSE(parse_mailbox("ann"));
  CHECK_FALSE(parse_mailbox("ann@example.net, bob@example.net"));
  CHECK_FALSE(parse_mailbox("ann@example.net\r\nBcc: x@y.example"));
  CHECK_FALSE(parse_mailbox(""));
  CHECK_FALSE(parse_mailbox("<>"));
}

TEST_CASE("obsolete and broken address lists still give their mailboxes") {
  const auto one = [](std::string_view text) {
    const auto found = parse_mailboxes(text);
    std::string out;
    for (const auto& m : found)
      out += concat({"[", m.display_name, "|", m.route, "|", m.local_part, "|", m.domain, "]"});
    return out;
  };
  CHECK(one("Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example") ==
        "[Mary Smith|@node.test|mary|example.net][||jdoe|test.example]");
  CHECK(one("Ann <ann@example.net") == "[Ann||ann|example.net]");
  CHECK(one("\"Ann <ann@example.net>") == "[Ann||ann|example.net]");
  CHECK(one("ann@example.net <ann@example.net>") == "[ann@example.net||ann|example.net]");
  CHECK(one("ann@example.net (Ann)") == "[Ann||ann|example.net]");
  CHECK(one("root") == "[||root|]");
  CHECK(one("\"a\\\"b\" . c@d") == "[||a\"b.c|d]");
  CHECK(one("=?utf-8?Q?Doe, John?= <j@d>") == "[=?utf-8?Q?Doe, John?=||j|d]");
  CHECK(one("<>") == "[|||]");
  CHECK(one(",;:<>@()") != "x");
  // Any octet anywhere: nothing is waited for that never comes.
  for (int c = 0; c < 256; ++c)
    for (const std::string shape :
         {"<?", "<a?b@c>", "<a@?>", "<@?:a@b>", "?<a@b>", "a@b?", "a?@b", "\"?", "(?", "x:?;", "<?\"", "<?("})
      (void)parse_addresses(replace_all(shape, "?", std::string(1, static_cast<char>(c))));
}

TEST_CASE("plain addresses are the same the short way and the long way") {
  // Behind an empty place in a list all is parsed the long way.
  const auto same = [](const std::string& text) {
    INFO(text);
    CHECK(parse_addresses(text) == parse_addresses("," + text));
    return parse_addresses(text).size();
  };
  for (const std::string list : {"a@b", "<a@b>", "Ann Lee <a@b>", "\"Lee, Ann\" <a@b>", "a@b, c@d,\r\n Ann <e@f>"}) {
    auto rest = std::string_view(list);
    while (take_plain_mailbox(rest)) {
    }
    CHECK(rest.empty());
  }
  for (int c = 0; c < 256; ++c) {
    for (const std::string shape : {"?",
                                    "?a@b",
                                    "a?@b",
                                    "a@?b",
                                    "a@b?",
                                    "a@b?c@d",
                                    "a@b,?c@d",
                                    "<?a@b>",
                                    "<a?@b>",
                                    "<a@?b>",
                                    "<a@b?>",
                                    "<a@b>?",
                                    "?<a@b>",
                                    "A?<a@b>",
                                    "A? <a@b>",
                                    "A ?<a@b>",
                                    "A?L <a@b>",
                                    "A ?L <a@b>",
                                    "\"?\" <a@b>",
                                    "\"A?L\" <a@b>",
                                    "\"A\"?<a@b>",
                                    "\"A\" ?<a@b>",
                                    "=??q?A?= <a@b>",
                                    "=?x?q?A? L?= <a@b>",
                                    "=?x?q?A?=?L <a@b>",
                                    "=?a?b?c?=?@d",
                                    "=?x?q?A?L <a@b>, c@d?=",
                                    "a@b, g: c@d?;",
                                    "Ann Lee <a@b>?, c@d"})
      (void)same(replace_all(shape, "?", std::string(1, static_cast<char>(c))));
    for (const std::string shape :
         {"=?x?q?A~?= <a@b>", "=?x?q?A~L?= <a@b>", "=?x?q?A?=~<a@b>", "=?x?q?A?=~@b", "~=?x?q?A?=@b"})
      (void)same(replace_all(shape, "~", std::string(1, static_cast<char>(c))));
  }
  for (const auto& test : vector_file("addresses", "mail-parser/address.half.json"))
    (void)same(first_field(test["header"].get<std::string>()));
}

TEST_CASE("text for headers decodes to itself, in lines of at most 78 columns") {
  for (const std::string text :
       {"", "plain", "é",
        "日本語のとても長い件名がここにあります。もっと長くするためにさらに書きます。まだまだ続きますよ。", " leading",
        "trailing ", "=?utf-8?q?a?=", "a\r\nBcc: evil@example.net",
        "long words in plain ascii that need folding because there are so many of them that no line could ever hold "
        "them all at once, ever"}) {
    const auto encoded = encode_unstructured(text, 9);
    INFO(encoded);
    std::size_t column = 9;
    for (const auto line : split(encoded, '\n')) {
      CHECK(column + line.size() <= 79);
      column = 0;
    }
    for (auto at = encoded.find('\n'); at != std::string::npos; at = encoded.find('\n', at + 1))
      CHECK(encoded[at + 1] == ' ');
    CHECK(is_ascii(encoded));
    auto expected = replace_all(replace_all(text, "\r", " "), "\n", " ");
    if (expected == " leading" || expected == "trailing ") expected = std::string(trim(expected));  // decoding trims
    CHECK(decode_header_text(encoded) == expected);
  }
}

TEST_CASE("parameters print so that parsing gives them back") {
  for (const std::string& value :
       std::vector<std::string>{"a", "a b", "a\"b\\", "é.txt",
                                "日本語のファイル名がとても長い場合でも壊れません、本当です。もっともっと長く.pdf", "",
                                "x=y;z", std::string(200, 'x')}) {
    const auto text = "attachment" + format_parameter("filename", value);
    INFO(text);
    CHECK(parameter(text, "filename") == value);
    for (const auto line : split(text, '\n')) CHECK(line.size() <= 90);
  }
}

TEST_CASE("file names from messages are harmless") {
  CHECK(safe_file_name("../../etc/passwd", "x") == "passwd");
  CHECK(safe_file_name("C:\\Windows\\evil.exe", "x") == "evil.exe");
  CHECK(safe_file_name(".bashrc", "x") == "bashrc");
  CHECK(safe_file_name("..", "x") == "x");
  CHECK(safe_file_name("", "x") == "x");
  CHECK(safe_file_name("-rf", "x") == "rf");
  CHECK(safe_file_name(std::string_view("a\0b\n", 4), "x") == "a_b_");
  CHECK(safe_file_name("con.txt", "x") == "_con.txt");
  CHECK(safe_file_name("COM1", "x") == "_COM1");
  CHECK(safe_file_name("invoice\xE2\x80\xAE"
                       "fdp.exe",
                       "x") == "invoicefdp.exe");
  CHECK(safe_file_name(std::string(500, 'a') + ".txt", "x").size() <= 200);
  CHECK(safe_file_name("日本語.txt", "x") == "日本語.txt");
}

TEST_CASE("charsets become UTF-8") {
  CHECK(to_utf8("\xE9", "iso-8859-1") == "é");
  CHECK(to_utf8("\x80", "iso-8859-1") == "€");
  CHECK(to_utf8("\x1B$B$3$s\x1B(B", "ISO-2022-JP") == "こん");
  CHECK(to_utf8("\xA4\xB3", "euc-jp") == "こ");
  CHECK(to_utf8("\xCF\xF0\xE8", "windows-1251") == "При");
  CHECK(to_utf8("\xC3\xA9\xFF", "utf-8") == "é\xEF\xBF\xBD");
  CHECK(to_utf8("\xC0\xAF", "utf-8") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(to_utf8("\xC3\xA9", "no-such-charset") == "é");
  CHECK(to_utf8("\xE9", "") == "é");
  CHECK_FALSE(is_known_charset("no-such-charset"));
  CHECK(is_known_charset("GB2312"));
  for (const std::string charset : {"utf-7", "iso-2022-kr", "hz-gb-2312", "utf-16", "big5", "\"\r\n", "gb18030"}) {
    std::string octets;
    for (int i = 0; i < 20'000; ++i) octets += static_cast<char>(i * 7919 >> 3);
    const auto text = to_utf8(octets, charset);
    CHECK(is_utf8(text));
    CHECK(text.size() <= 4 * octets.size() + 16);
  }
}

TEST_CASE("case folding makes equal what people call equal") {
  CHECK(fold_case("ÀÉ Straße İ") == fold_case("àé STRASSE İ"));
  CHECK(fold_case("e\xCC\x81") == fold_case("É"));
  CHECK(fold_case("ﬁ") == "fi");
  CHECK(fold_case("ABC def") == "abc def");
  CHECK(display_columns("日本a") == 5);
  CHECK(clip_columns("日本a", 3) == "日");
}

TEST_CASE("HTML as text") {
  CHECK(html_to_text("<p>Hello <b>world</b></p><p>a&amp;b&nbsp;c &eacute; &#233; &#x65e5;</p>") ==
        "Hello world\n\na&b c é é 日\n");
  CHECK(html_to_text("<script>alert(1)</script><style>x</style>text") == "text\n");
  CHECK(html_to_text("<a href=\"https://example.net/?a=1&amp;b=2\">here</a>") ==
        "here <https://example.net/?a=1&b=2>\n");
  CHECK(html_to_text("<a href='javascript:x'>here</a>") == "here\n");
  CHECK(html_to_text("text<!-- never closed") == "text\n");
  CHECK(html_to_text("text<!--") == "text\n");
  CHECK(html_to_text("a&#10;b<img alt='c&#10;d'>", {.links = false, .line_breaks = false}) == "a bc d");
  CHECK(html_to_text("<ul><li>one<li>two</ul>") == "* one\n* two\n");
  CHECK(html_to_text("<blockquote>said<br>more</blockquote>after") == "> said\n> more\n\nafter\n");
  CHECK(html_to_text("a < b, 2<3") == "a < b, 2<3\n");
  CHECK(html_to_text("<!-- hidden -->seen<img src=x alt='picture'>") == "seenpicture\n");
  CHECK(html_to_text("<p>one</p> <p>two</p>", {.links = false, .line_breaks = false}) == "one two");
  CHECK(html_to_text("") == "");
  CHECK(html_to_text("<a href=") == "");
}

TEST_CASE("HTML of a stranger takes time in proportion") {
  std::string titles, links;
  for (int i = 0; i < 100000; ++i) titles += "<title></x", links += "http:";
  const auto began = std::chrono::steady_clock::now();
  CHECK(html_to_text(titles).empty());
  CHECK_FALSE(html_to_text(concat({"<a href=\"", links, "x\">", links, "</a>"})).empty());
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(60));  // in the square of it: minutes
}
