#include "mua/compose.h"

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "message/header.h"
#include "message/search_text.h"
#include "message/tree.h"
#include "mua/accounts.h"
#include "mua/render.h"
#include "mua/text.h"

using namespace mail;
using namespace mail::mua;

namespace {

Draft simple_draft() {
  Draft draft;
  draft.from = message::parse_mailboxes("Ann <ann@example.net>");
  draft.to = message::parse_mailboxes("bob@example.net");
  draft.subject = "Hello";
  draft.body = "text\n";
  return draft;
}

}  // namespace

TEST_CASE("a composed message has what RFC 5322 asks for, and no Bcc") {
  auto draft = simple_draft();
  draft.bcc = message::parse_mailboxes("hidden@example.net, bob@example.net");
  const auto out = compose(draft, "host.example");
  REQUIRE(out);
  const message::HeaderFields fields(out->content);
  for (const auto* name : {"Date", "From", "To", "Message-ID", "MIME-Version", "Subject"})
    CHECK(fields.count(name) == 1);
  CHECK_FALSE(fields.find("Bcc"));
  CHECK(out->content.find("hidden") == std::string::npos);
  REQUIRE(out->envelope.recipients.size() == 2);  // bob once
  CHECK(out->envelope.recipients[1].forward_path == "hidden@example.net");
  CHECK(out->envelope.reverse_path == "ann@example.net");
}

TEST_CASE("header injection: a line break in a subject, name or field makes no field") {
  auto draft = simple_draft();
  draft.subject = "x\r\nBcc: evil@example.net";
  draft.from.front().display_name = "Ann\r\nBcc: evil@example.net";
  const auto out = compose(draft, "host.example");
  REQUIRE(out);
  CHECK_FALSE(message::HeaderFields(out->content).find("Bcc"));
  draft.fields.emplace_back("X-Test", "a\nBcc: evil@example.net");
  CHECK_FALSE(compose(draft, "host.example"));
  draft.fields = {{"X Test", "a"}};
  CHECK_FALSE(compose(draft, "host.example"));
  draft.fields = {{"Bcc", "a@b"}};
  CHECK_FALSE(compose(draft, "host.example"));
  CHECK_FALSE(parse_typed_addresses("a@b.example\r\nBcc: x@y.example", "d.example"));
}

TEST_CASE("attachments have their types, and come back as they were") {
  auto draft = simple_draft();
  std::string octets;
  for (int i = 0; i < 500; ++i) octets += static_cast<char>(i * 7);
  draft.attachments.push_back({"/tmp/\xC3\xA9 x.png", "", octets});
  draft.attachments.push_back({"notes", "", "plain\n"});
  const auto out = compose(draft, "host.example");
  REQUIRE(out);
  const auto tree = message::parse(out->content);
  REQUIRE(tree.root().children == 3);
  CHECK(tree.find("2")->is("image", "png"));
  CHECK(message::decoded_content(tree, *tree.find("2")) == octets);
  CHECK(leaves(tree)[1].file_name == "\xC3\xA9 x.png");
  CHECK(tree.find("3")->is("text", "plain"));
}

TEST_CASE("addresses as typed") {
  CHECK(parse_typed_addresses("root", "example.net")->front().domain == "example.net");
  CHECK(parse_typed_addresses("Ann <a@b.example>, c@d.example", "x")->size() == 2);
  CHECK_FALSE(parse_typed_addresses("", "x"));
  CHECK_FALSE(parse_typed_addresses("a b@c d", "x"));
  CHECK_FALSE(parse_typed_addresses("a@-b.example", "x"));
  CHECK(parse_typed_addresses("root, Ann Lee <ann@x.example>; bob (Bob) , \"a b\"@x.example", "x")->size() == 4);
  // A comma or a domain that is missing: never what the best reading makes of it.
  for (const auto* slip : {"ann bob", "ann bob@x.example", "ann@", "a b@", "ann@, bob", "Ann <ann@>", "ann@ x"})
    CHECK_FALSE(parse_typed_addresses(slip, "example.net"));
}

TEST_CASE("sendmail's input is completed, not rewritten") {
  const auto from = message::parse_mailboxes("ann@example.net");
  const auto raw =
      complete_raw("To: bob@example.net, Carol <c@d.example>\nBcc: hidden@example.net\nSubject: x\n\nline\n.dot\n",
                   from, "host.example");
  CHECK(raw.recipients.size() == 3);
  CHECK(raw.content.find("hidden") == std::string::npos);
  CHECK(raw.content.ends_with("Subject: x\r\n\r\nline\r\n.dot\r\n"));
  CHECK(raw.content.find("From: ann@example.net\r\n") != std::string::npos);
  CHECK(message::HeaderFields(raw.content).count("Date") == 1);
  const auto resent =
      complete_raw("To: a@b.example\nResent-To: c@d.example\nFrom: x@y.example\n\n", from, "host.example");
  REQUIRE(resent.recipients.size() == 1);
  CHECK(resent.recipients.front().domain == "d.example");
  const auto body_only = complete_raw("no header here\n", from, "host.example");
  CHECK(body_only.content.ends_with("\r\n\r\nno header here\r\n"));
  CHECK(complete_raw("", from, "host.example").content.ends_with("\r\n\r\n"));
  CHECK(complete_raw("From ann Mon\nSubject: x\n\nb", from, "h").content.find("From ann") == std::string::npos);
  const auto odd = complete_raw(std::string_view("A: b\r\n\r\nx\ry\0z\n", 15), from, "h");
  CHECK(odd.content.ends_with("x\r\nyz\r\n"));
}

TEST_CASE("nothing of a message reaches the terminal raw") {
  CHECK(for_terminal("a\x1B[31mb\tc\r\nd\a") == "a\\x1b[31mb\tc\nd\\x07");
  CHECK(for_terminal("x\xE2\x80\xAEy").find("\xE2\x80\xAE") == std::string::npos);
  CHECK(for_terminal("\xC2\x9B"
                     "31m")
            .find("\xC2\x9B") == std::string::npos);
  Item item;
  item.subject = "a\x1B]0;title\x07";
  item.from = message::parse_mailboxes("\"\x1B[2J\" <a@b>");
  CHECK(item_line(item, 200).find('\x1B') == std::string::npos);
  CHECK(Json::string("a\"\\\n\x1B\xFF") == "\"a\\\"\\\\\\n\\u001b\xEF\xBF\xBD\"");
}

TEST_CASE("of alternatives the plain one is shown, HTML as text, attachments by name") {
  const std::string text =
      "From: a@b\nSubject: s\nContent-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; "
      "boundary=x\n\n--x\nContent-Type: text/html\n\n<b>html</b>\n--x\nContent-Type: "
      "text/plain\n\nplain\n--x--\n--m\nContent-Type: text/html\n\n<p>second</p>\n--m\nContent-Type: "
      "text/plain\nContent-Disposition: attachment; filename=a.txt\n\nhidden\n--m--\n";
  const auto tree = message::parse(text);
  const auto shown = render_message(tree);
  CHECK(shown.find("plain\n") != std::string::npos);
  CHECK(shown.find("html") == std::string::npos);
  CHECK(shown.find("second") != std::string::npos);
  CHECK(shown.find("hidden") == std::string::npos);
  CHECK(shown.find("[part 3: text/plain, \"a.txt\"") != std::string::npos);
  CHECK(render_text(tree) == "plain\nsecond\n");
}

TEST_CASE("URLs of stores and servers") {
  const auto imap = parse_url("imaps://ann%40example.net@imap.example.net:1993/");
  REQUIRE(imap);
  CHECK(imap->user == "ann@example.net");
  CHECK(imap->port == 1993);
  CHECK(imap->tls == Url::Tls::implicit);
  CHECK(parse_url("imap://h")->tls == Url::Tls::starttls);
  CHECK(parse_url("pop3s://[::1]")->host == "::1");
  CHECK(parse_url("imap://127.0.0.1?tls=no")->tls == Url::Tls::none);
  CHECK_FALSE(parse_url("imap://example.net?tls=no"));
  CHECK_FALSE(parse_url("imap://ann:secret@h"));
  CHECK_FALSE(parse_url("http://h"));
  CHECK_FALSE(parse_url("imap://h:0"));
  CHECK_FALSE(parse_url("imap://"));
  CHECK(parse_url("/home/ann/Maildir")->path == "/home/ann/Maildir");
}

TEST_CASE("mua.toml: accounts, and every mistake with its line") {
  const auto good = parse_accounts(
      "default = \"b\"\n[accounts.a]\naddress = \"a@b\"\n[accounts.b]\nstore = \"/m\"\npassword_command = [\"pass\", "
      "\"x\"]\n",
      "f");
  REQUIRE(good);
  CHECK(good->choose("")->store == "/m");
  CHECK(good->choose("a")->address == "a@b");
  CHECK_FALSE(good->choose("c"));
  const auto bad = parse_accounts("[accounts.a]\nadress = \"a@b\"\npassword_command = \"x\"\n", "f");
  REQUIRE_FALSE(bad);
  CHECK(bad.error().text.find("f:2: ") != std::string::npos);
  CHECK(bad.error().text.find("f:3: ") != std::string::npos);
}

TEST_CASE("secrets come from a program or a file") {
  CHECK(read_secret({{"printf", "secret\\nmore"}, ""})->text() == "secret");
  CHECK_FALSE(read_secret({{"false"}, ""}));
  CHECK_FALSE(read_secret({{"/no/such/program"}, ""}));
  CHECK_FALSE(read_secret({}));
}
