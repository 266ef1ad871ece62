#include "message/encoding.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "message/builder.h"
#include "message/header.h"
#include "message/search_text.h"
#include "message/tree.h"
#include "tests/message/vectors.h"

using namespace mail;
using namespace mail::message;
using nlohmann::json;

namespace {
std::string decode_in_pieces(TransferEncoding encoding, std::string_view octets, std::size_t cut) {
  std::string out;
  Decoder decoder(encoding);
  decoder.decode(octets.substr(0, cut), out);
  decoder.decode(octets.substr(cut), out);
  decoder.finish(out);
  return out;
}
}  // namespace

TEST_CASE("base64 and quoted-printable of the RFCs") {
  const auto folder = test::vectors("rfc-examples");
  if (folder.empty()) return;
  const auto base64 = json::parse(test::read_path(folder / "base64.json"));
  for (const auto& test : base64["encode"]) {
    const auto octets =
        test.contains("hex") ? *from_hex(test["hex"].get<std::string>()) : test["text"].get<std::string>();
    const auto expected =
        test.contains("mime_body") ? test["mime_body"].get<std::string>() : test["base64"].get<std::string>();
    const auto found = encode_base64(octets);
    INFO(test.dump());
    CHECK(trim(found) == trim(expected));
    CHECK(decode(TransferEncoding::base64, expected) == octets);
  }
  if (base64.contains("decode"))
    for (const auto& test : base64["decode"]) {
      INFO(test.dump());
      if (test.contains("input") && test.contains("hex"))
        CHECK(to_hex(decode(TransferEncoding::base64, test["input"].get<std::string>())) ==
              test["hex"].get<std::string>());
    }
  const auto quoted = json::parse(test::read_path(folder / "quoted-printable.json"));
  for (const auto& test : quoted["decode"]) {
    const auto input = test["input"].get<std::string>();
    INFO(test.dump());
    if (!test.contains("utf8")) continue;
    CHECK(decode(TransferEncoding::quoted_printable, input) == test["utf8"].get<std::string>());
    for (std::size_t cut = 0; cut <= input.size(); ++cut)
      CHECK(decode_in_pieces(TransferEncoding::quoted_printable, input, cut) == test["utf8"].get<std::string>());
  }
}

TEST_CASE("whole files through each encoding") {
  const auto folder = test::vectors("encodings");
  if (folder.empty()) return;
  const auto photo = test::read_path(folder / "mimekit/photo.jpg"),
             photo64 = test::read_path(folder / "mimekit/photo.b64"),
             photo_uu = test::read_path(folder / "mimekit/photo.uu");
  CHECK(encode_base64(photo, "\n") == photo64);
  CHECK(decode(TransferEncoding::base64, photo64) == photo);
  CHECK(decode(TransferEncoding::uuencode, photo_uu) == photo);
  for (const std::size_t cut : {1U, 2U, 3U, 75U, 76U, 77U, 78U, 1000U}) {
    CHECK(decode_in_pieces(TransferEncoding::base64, photo64, cut) == photo);
    CHECK(decode_in_pieces(TransferEncoding::uuencode, photo_uu, cut) == photo);
    std::string pieces;
    Base64Encoder encoder("\n");
    encoder.encode(std::string_view(photo).substr(0, cut), pieces);
    encoder.encode(std::string_view(photo).substr(cut), pieces);
    encoder.finish(pieces);
    CHECK(pieces == photo64);
  }
  const auto text = test::read_path(folder / "gmime/wikipedia.txt"),
             quoted = test::read_path(folder / "gmime/wikipedia.qp");
  CHECK(decode(TransferEncoding::quoted_printable, quoted) == text);
  CHECK(decode(TransferEncoding::quoted_printable, encode_quoted_printable(text, "\n")) == text);
}

TEST_CASE("encoders keep their promises for any octets") {
  unsigned seed = 1;
  for (int round = 0; round < 300; ++round) {
    std::string octets;
    for (int i = 0; i < round * 3; ++i) {
      seed = seed * 1664525 + 1013904223;
      const unsigned pick = seed >> 24;
      octets += pick < 40    ? '\n'
                : pick < 60  ? ' '
                : pick < 200 ? static_cast<char>('a' + pick % 26)
                             : static_cast<char>(seed >> 16);
    }
    const auto quoted = encode_quoted_printable_binary(octets);
    CHECK(decode(TransferEncoding::quoted_printable, quoted) == octets);
    for (const auto line : split(quoted, '\n')) CHECK(line.size() <= 77);
    CHECK(is_ascii(quoted));
    std::string text = replace_all(octets, "\r", "");
    const auto as_text = encode_quoted_printable(text, "\n");
    CHECK(decode(TransferEncoding::quoted_printable, as_text) == text);
    for (const auto line : split(as_text, '\n'))
      CHECK((line.size() <= 76 && !line.starts_with("From ") && !line.starts_with(".") && !line.ends_with(" ")));
    CHECK(decode(TransferEncoding::base64, encode_base64(octets)) == octets);
  }
  CHECK(choose_encoding("plain\n", true) == TransferEncoding::seven_bit);
  CHECK(choose_encoding("caf\xC3\xA9\n", true) == TransferEncoding::quoted_printable);
  CHECK(choose_encoding("\xE6\x97\xA5\xE6\x9C\xAC", true) == TransferEncoding::base64);
  CHECK(choose_encoding(std::string(2000, 'x'), true) == TransferEncoding::quoted_printable);
}

TEST_CASE("a built message reads back as what went in") {
  const std::string text = "H\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\nFrom here\n.\nend  \n";
  std::string binary;
  for (int i = 0; i < 1000; ++i) binary += static_cast<char>(i * 31);
  std::vector<BodyPart> parts;
  parts.push_back(BodyPart::text(text));
  parts.push_back(BodyPart::attachment("image/png", binary, "../\xC3\xA9t\xC3\xA9 photo.png"));
  parts.push_back(BodyPart::message("Subject: inner\n\nbody\n"));
  Builder builder;
  const auto built = builder.from(parse_mailboxes("\"D\xC3\xB6, A\" <a@example.net>"))
                         .to(parse_mailboxes("b@example.net"))
                         .subject("S\xC3\xBCjet\r\nBcc: x@y")
                         .date({})
                         .message_id("example.net")
                         .body(BodyPart::multipart("mixed", std::move(parts)))
                         .build();
  const auto tree = parse(built);
  INFO(built);
  CHECK(tree.oddities().empty());
  REQUIRE(tree.root().children == 3);
  CHECK(decoded_text(tree, *tree.find("1")) == replace_all(text, "\n", "\r\n"));
  CHECK(decoded_content(tree, *tree.find("2")) == binary);
  CHECK(file_name(tree.field(*tree.find("2"), KnownField::content_disposition), std::nullopt) ==
        "\xC3\xA9t\xC3\xA9 photo.png");
  CHECK(tree.find("3")->kind == Part::Kind::message);
  CHECK_FALSE(HeaderFields(built).find("bcc"));
  CHECK(is_ascii(built));
  for (const auto line : split(built, '\n')) CHECK((line.ends_with('\r') || line.empty()));
  CHECK(built.find("\r\n.\r\n") == std::string::npos);
  Builder strict;
  strict.raw_field("X-A", "b\r\nBcc: c")
      .raw_field("X B", "c")
      .raw_field("X-C", "ok\r\n folded")
      .text_field("X-D:\r\n", "e");
  CHECK(strict.build().find("Bcc") == std::string::npos);
  CHECK(strict.has("x-c"));
}

TEST_CASE("files come out as they went in") {
  for (const std::string octets :
       {"", "a", "a\n", "a\nb\n\n", "a\r\nb\r\n", "\xC3\xA9\n", "\xC3\xA9\r\n\n", "\r", "From x\n.\n", " \n"}) {
    std::vector<BodyPart> parts;
    parts.push_back(BodyPart::text("x\n"));
    parts.push_back(BodyPart::attachment("text/csv", octets, "a.csv"));
    parts.push_back(BodyPart::attachment("application/json", octets, "a.json"));
    const auto built = Builder().body(BodyPart::multipart("mixed", std::move(parts))).build();
    const auto tree = parse(built);
    INFO(built);
    CHECK(decoded_content(tree, *tree.find("1")) == "x\r\n");
    for (const auto* number : {"2", "3"}) {
      const auto& part = *tree.find(number);
      const auto content = decoded_content(tree, part);
      CHECK((is_identity(part.encoding) ? replace_all(content, "\r\n", "\n") : content) == octets);
    }
  }
}

TEST_CASE("reports have three parts") {
  const auto part = report("delivery-status", "It failed.\n",
                           "Reporting-MTA: dns; example.net\r\n\r\nFinal-Recipient: rfc822; a@b\r\n",
                           "Subject: x\r\n\r\nsecret body\r\n", true);
  std::string text;
  part.append_to(text);
  const auto tree = parse(text);
  REQUIRE(tree.root().children == 3);
  CHECK(tree.find("2")->is("message", "delivery-status"));
  CHECK(tree.find("3")->is("text", "rfc822-headers"));
  CHECK(text.find("secret") == std::string::npos);
  CHECK(parameter(*tree.field(tree.root(), KnownField::content_type), "report-type") == "delivery-status");
}

TEST_CASE("types of attached files") {
  CHECK(guess_type("a.PDF", "%PDF") == "application/pdf");
  CHECK(guess_type("notes", "text\n") == "text/plain");
  CHECK(guess_type("notes", std::string_view("\0", 1)) == "application/octet-stream");
  CHECK(guess_type("fake.txt", "\xFF\xFE") == "application/octet-stream");
}
