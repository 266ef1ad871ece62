#include "message/recode.h"

#include <catch2/catch.hpp>

#include "message/encoding.h"
#include "message/tree.h"

using namespace mail;
using namespace mail::message;

namespace {

std::string seven(std::string_view message) {
  const auto out = recoded(message, Passage::seven_bit);
  return out ? *out : "refused: " + out.error().text;
}

}  // namespace

TEST_CASE("text becomes quoted-printable, and nothing else of the message changes (RFC 6152)") {
  CHECK(seven("From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n"
              "Content-Type: text/plain; charset=utf-8\r\nX-Last: 1\r\n\r\nGr\xc3\xbc\xc3\x9f"
              "e\r\n. From here\r\nlast line") ==
        "From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nX-Last: 1\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n=2E From here\r\nlast line");
}

TEST_CASE("what is 7-bit already stays octet for octet") {
  const std::string_view plain = "From: a@b.test\nContent-Transfer-Encoding: 8bit\n\nno need\n";
  CHECK(seven(plain) == plain);
}

TEST_CASE("only the parts that need it are encoded; other encodings and boundaries stay") {
  const auto out = seven(
      "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
      "pre\xc3\xa9\r\n--b\r\nContent-Type: text/html; charset=latin1\r\nContent-Transfer-Encoding: "
      "8bit\r\n\r\n<p>\xe9</p>\r\n"
      "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n"
      "--b\r\nContent-Type: "
      "application/octet-stream\r\n\r\n\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\r\n--b--\r\nepilogue\r\n");
  CHECK(out ==
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        "pre??\r\n--b\r\nContent-Type: text/html; charset=latin1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "<p>=E9</p>\r\n"
        "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n"
        "--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        "//79/Pv6+fj39g==\r\n\r\n--b--\r\nepilogue\r\n");
}

TEST_CASE("a message within a message is converted inside") {
  CHECK(seven("Content-Type: message/rfc822\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
              "Subject: in\r\n\r\nb\xc3\xb6se\r\n") ==
        "Content-Type: message/rfc822\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        "Subject: in\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nb=C3=B6se\r\n");
}

TEST_CASE("mail without MIME gets its fields; an unknown charset is called so (RFC 1428)") {
  CHECK(seven("Subject: x\r\n\r\nGr\xfc\xdf"
              "e aus der Provinz\r\n") ==
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe aus der Provinz\r\n");
}

TEST_CASE("what is signed or may not be encoded is refused, unless nothing in it needs it") {
  const auto signed_with = [](std::string_view text) {
    return std::string(
               "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
               "caf\xc3\xa9 au lait\r\n--o\r\nContent-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\n")
        .append(text)
        .append("\r\n--x\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--x--\r\n--o--\r\n");
  };
  CHECK(seven(signed_with("\xc3\xa9")) == "refused: a part of type multipart/signed may not be changed");
  const auto kept = seven(signed_with("seven bits  "));
  CHECK(kept.find("=C3=A9") != std::string::npos);
  CHECK(kept.find("--x\r\n\r\nseven bits  \r\n--x\r\n") != std::string::npos);
  CHECK(seven("Content-Type: message/partial; id=a\r\n\r\n\xc3\xa9\r\n") ==
        "refused: a part of type message/partial may not be changed");
  CHECK(seven("Content-Transfer-Encoding: x-own\r\n\r\n\xc3\xa9\r\n") ==
        "refused: a part of type text/plain may not be changed");
}

TEST_CASE("binary parts for a host that takes 8-bit text only (RFC 3030)") {
  const std::string octets("\0\1\r\xff\n", 5);
  const auto message =
      "MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets;
  const auto out = recoded(message, Passage::eight_bit);
  REQUIRE(out);
  const auto tree = parse(*out);
  CHECK(decode(tree.root().encoding, tree.body(tree.root())) == octets);
  const std::string_view text =
      "Content-Transfer-Encoding: binary\r\n\r\nGr\xc3\xbc\xc3\x9f"
      "e\r\n";
  CHECK(recoded(text, Passage::eight_bit) == text);
}
