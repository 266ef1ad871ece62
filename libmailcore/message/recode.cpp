#include "message/recode.h"

#include <algorithm>
#include <vector>

#include "base/strings.h"
#include "message/encoding.h"
#include "message/header.h"
#include "message/tree.h"

namespace mail::message {
namespace {

bool has_eight_bit(std::string_view octets) {
  return std::ranges::any_of(octets, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

class Recoder {
 public:
  Recoder(std::string_view message, Passage passage)
      : tree_(parse(message)), passage_(passage), needs_(tree_.parts().size()) {
    const auto& parts = tree_.parts();
    for (auto i = static_cast<std::uint32_t>(parts.size()); i-- > 0;) {  // children stand behind their parents
      const auto& part = parts[i];
      if (part.kind == Part::Kind::leaf) needs_[i] = leaf_needs(part);
      if (part.kind == Part::Kind::multipart && passage_ == Passage::seven_bit && !needs_[i])
        needs_[i] = has_eight_bit(preamble(part)) || has_eight_bit(epilogue(part));
      if (needs_[i] && part.parent != kNoPart) needs_[part.parent] = true;
    }
  }

  Result<std::string> run() {
    if (!needs_[0]) return std::string(tree_.text());
    out_.reserve(tree_.text().size() + tree_.text().size() / 8);
    MAIL_CHECK(put(0));
    return std::move(out_);
  }

 private:
  bool leaf_needs(const Part& part) const {
    const auto body = tree_.body(part);
    if (passage_ == Passage::seven_bit && has_eight_bit(body)) return true;
    if (part.encoding != TransferEncoding::binary) return false;
    const auto chosen = choose_encoding(body, part.is_text(), passage_ == Passage::eight_bit);
    return !is_identity(chosen);
  }

  std::string_view preamble(const Part& part) const {
    const auto end = part.first_child == kNoPart ? part.body.end : tree_[part.first_child].header.begin;
    return tree_.text().substr(part.body.begin, end - part.body.begin);
  }
  std::string_view epilogue(const Part& part) const {
    auto last = part.first_child;
    if (last == kNoPart) return {};
    while (tree_[last].next_sibling != kNoPart) last = tree_[last].next_sibling;
    const auto begin = tree_[last].body.end;
    return tree_.text().substr(begin, part.body.end - begin);
  }
  std::string_view between(std::size_t begin, std::size_t end) const { return tree_.text().substr(begin, end - begin); }
  /// What no reader shows, but what must not be 8-bit either.
  void put_unseen(std::string_view text) {
    if (passage_ != Passage::seven_bit) {
      out_ += text;
      return;
    }
    for (const char c : text) out_ += static_cast<unsigned char>(c) >= 0x80 ? '?' : c;
  }

  static Status untouchable(const Part& part) {
    return fail(Error::Kind::permanent, concat({"a part of type ", to_lower(printable(part.type)), "/",
                                                to_lower(printable(part.subtype)), " may not be changed"}));
  }

  Status put(std::uint32_t index) {
    const auto& part = tree_[index];
    if (!needs_[index]) {
      out_ += between(part.header.begin, part.body.end);
      return {};
    }
    if (part.is("multipart", "signed") || part.is("multipart", "encrypted") || part.is("message", "partial") ||
        part.is("message", "external-body"))
      return untouchable(part);
    if (part.kind == Part::Kind::leaf) return put_leaf(part);
    const std::string_view identity = passage_ == Passage::seven_bit ? "7bit" : "8bit";
    put_header(part, is_identity(part.encoding) && part.encoding != TransferEncoding::seven_bit ? identity : "");
    if (part.kind == Part::Kind::message) return put(part.first_child);
    put_unseen(preamble(part));
    for (auto child = part.first_child; child != kNoPart; child = tree_[child].next_sibling) {
      MAIL_CHECK(put(child));
      if (const auto next = tree_[child].next_sibling; next != kNoPart)
        out_ += between(tree_[child].body.end, tree_[next].header.begin);
    }
    put_unseen(epilogue(part));
    return {};
  }

  Status put_leaf(const Part& part) {
    // A multipart or message that is a leaf was nested too deep, or is encoded, which the standard forbids.
    if (part.is("multipart", part.subtype) || part.is("message", part.subtype) ||
        part.encoding == TransferEncoding::unknown || part.encoding == TransferEncoding::uuencode)
      return untouchable(part);
    const auto body = tree_.body(part);
    // 8-bit octets within quoted-printable or base64 are garbage: what can be read of it is written correctly.
    const auto octets = is_identity(part.encoding) ? std::string(body) : decode(part.encoding, body);
    const bool text = part.is_text() && part.encoding != TransferEncoding::base64;
    const auto chosen = choose_encoding(octets, text);
    const bool quoted = chosen == TransferEncoding::quoted_printable ||
                        (chosen == TransferEncoding::seven_bit && part.encoding == TransferEncoding::quoted_printable);
    put_header(part, quoted ? "quoted-printable" : chosen == TransferEncoding::seven_bit ? "7bit" : "base64", octets);
    if (quoted)
      out_ += text ? encode_quoted_printable(octets) : encode_quoted_printable_binary(octets);
    else if (chosen == TransferEncoding::seven_bit)
      out_ += octets;
    else
      out_ += encode_base64(octets);
    return {};
  }

  /// The header with another Content-Transfer-Encoding (empty: as it is), and with what MIME needs.
  void put_header(const Part& part, std::string_view encoding, std::string_view body = {}) {
    const auto header = tree_.header(part);
    bool mime_version = false;
    for (const auto& field : HeaderFields(header)) {
      mime_version = mime_version || iequals(field.name, "MIME-Version");
      if (!encoding.empty() && iequals(field.name, "Content-Transfer-Encoding")) continue;
      out_ += field.raw;
      if (!field.raw.ends_with('\n')) out_ += "\r\n";
    }
    if (part.is_message && !mime_version) out_ += "MIME-Version: 1.0\r\n";
    if (part.is_message && !tree_.field(part, KnownField::content_type) && part.kind == Part::Kind::leaf)
      out_ += concat({"Content-Type: text/plain; charset=", is_utf8(body) ? "utf-8" : "unknown-8bit", "\r\n"});
    if (!encoding.empty()) out_ += concat({"Content-Transfer-Encoding: ", encoding, "\r\n"});
    out_ += "\r\n";
  }

  Tree tree_;
  Passage passage_;
  std::vector<bool> needs_;
  std::string out_;
};

}  // namespace

Result<std::string> recoded(std::string_view message, Passage passage) { return Recoder(message, passage).run(); }

}  // namespace mail::message
