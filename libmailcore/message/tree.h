// One pass over a message gives its MIME tree as offsets (RFC 2045, 2046, 5322). Never fails: garbage gives the best
// tree and a list of what was odd. Time is linear in the message, memory is bounded by the limits below.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "message/encoding.h"

namespace mail::message {

/// Nesting below this is not looked into: such a multipart or message counts as one octet stream. Deeper than any mail
/// that people send (Dovecot's limit), and it bounds the boundaries that each line is compared with.
inline constexpr std::size_t kMaximumDepth = 100;
/// Parts after this many are content of the last one: bounds the memory of a message made of boundaries.
inline constexpr std::size_t kMaximumParts = 10'000;
/// Oddities after this many are not listed.
inline constexpr std::size_t kMaximumOddities = 100;

/// A run of octets of the message as stored, and what it is with CRLF line ends: Maildir files hold LF, IMAP counts
/// CRLF.
struct Extent {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t lines = 0;    ///< Line ends within (LF, alone or after CR).
  std::size_t bare_lf = 0;  ///< Those that are an LF alone: each is one octet more with CRLF.
  std::size_t octets() const { return end - begin; }
  std::size_t crlf_octets() const { return end - begin + bare_lf; }
  bool operator==(const Extent&) const = default;
};

/// Fields found during the one pass. The first eleven only for messages (the root and what a message/rfc822 holds), the
/// others for all parts.
enum class KnownField : std::uint8_t {
  date,
  subject,
  from,
  sender,
  reply_to,
  to,
  cc,
  bcc,
  in_reply_to,
  message_id,
  references,
  content_type,
  content_transfer_encoding,
  content_disposition,
  content_id,
  content_description,
  content_md5,
  content_language,
  content_location,
};
inline constexpr std::size_t kMessageFields = 11;
inline constexpr std::size_t kMimeFields = 8;

inline constexpr std::uint32_t kNoPart = UINT32_MAX;

struct Part {
  enum class Kind : std::uint8_t {
    leaf,
    multipart,  ///< Its children are the body parts; there may be none.
    message,    ///< message/rfc822 or message/global in an identity encoding: one child, the message within.
  };
  Kind kind = Kind::leaf;
  TransferEncoding encoding = TransferEncoding::seven_bit;
  bool is_message = false;       ///< The root, or the child of a Kind::message.
  bool type_is_default = false;  ///< There was no usable Content-Type; type and subtype are RFC 2046's defaults.
  bool too_deep = false;  ///< A multipart or message that the limits left unparsed: treat as application/octet-stream.
  std::uint16_t depth = 0;
  std::uint32_t parent = kNoPart;
  std::uint32_t first_child = kNoPart;
  std::uint32_t next_sibling = kNoPart;
  std::uint32_t children = 0;
  std::string_view type;     ///< As found ("Text"): compare without regard to case. Never empty.
  std::string_view subtype;  ///< Likewise.
  Extent header;             ///< With the empty line.
  Extent
      body;  ///< Without the line end before the next boundary, which belongs to the boundary (RFC 2046 section 5.1.1).
  std::array<std::string_view, kMimeFields>
      mime_fields;                         ///< Values of the Content-* fields, as found; data() is null where absent.
  std::uint32_t message_fields = kNoPart;  ///< Index into Tree::message_fields where is_message.

  bool is(std::string_view type_name, std::string_view subtype_name) const;
  bool is_text() const;
};

struct MessageFields {
  std::array<std::string_view, kMessageFields> values;  ///< As found, first occurrence; data() is null where absent.
  std::uint32_t repeated = 0;                           ///< Bit of each field that occurs more than once.
};

struct Oddity {
  enum class Kind : std::uint8_t {
    mbox_from_line,
    line_without_colon,
    header_without_end,
    nul_in_header,
    repeated_field,
    bad_content_type,
    no_boundary,
    boundary_never_seen,
    boundary_not_closed,
    encoded_composite,
    unknown_encoding,
    too_deep,
    too_many_parts,
  };
  Kind kind;
  std::uint32_t part;
  std::size_t offset;
};
std::string_view name(Oddity::Kind kind);

/// Views and offsets are into the text given to parse(), which must outlive the tree.
class Tree {
 public:
  std::string_view text() const { return text_; }
  /// In the order of the text; the first is the whole message.
  const std::vector<Part>& parts() const { return parts_; }
  const Part& root() const { return parts_.front(); }
  const Part& operator[](std::uint32_t index) const { return parts_[index]; }
  const std::vector<Oddity>& oddities() const { return oddities_; }

  std::string_view header(const Part& part) const { return text_.substr(part.header.begin, part.header.octets()); }
  std::string_view body(const Part& part) const { return text_.substr(part.body.begin, part.body.octets()); }
  /// The value of a field as found, or nothing. Message fields are known only where part.is_message.
  std::optional<std::string_view> field(const Part& part, KnownField field) const;
  /// Those of a message; none of another part.
  const MessageFields& fields(const Part& message) const;

  /// Octets of the whole message with CRLF line ends (RFC822.SIZE), and as stored.
  std::size_t crlf_octets() const { return root().header.crlf_octets() + root().body.crlf_octets(); }
  std::size_t octets() const { return text_.size(); }

  /// The part that IMAP calls `number` ("1.2.3"; RFC 9051 section 6.4.5.1): body parts count from 1, part 1 of a
  /// message that is not multipart is its text. An empty number is the root; nothing where there is no such part.
  const Part* find(std::string_view number) const;
  /// The IMAP number of a part; empty for the root, and for a message within a message/rfc822 the number of that.
  std::string number(const Part& part) const;
  std::uint32_t index(const Part& part) const { return static_cast<std::uint32_t>(&part - parts_.data()); }

 private:
  friend class TreeParser;
  std::string_view text_;
  std::vector<Part> parts_;
  std::vector<MessageFields> message_fields_;
  std::vector<Oddity> oddities_;
};

/// The message fields of the header that `text` begins with, as parse() finds them, and nothing else of it.
/// @return false where the header does not end in `text`
bool find_message_fields(std::string_view text, MessageFields& fields);

Tree parse(std::string_view text);
/// Into a tree that was used before: no memory is taken where the old one's is enough (indexing 100,000 messages).
void parse(std::string_view text, Tree& tree);
/// Only the header is looked at, as of a message without body: for deliveries that need nothing else.
void parse_header(std::string_view text, Tree& tree);

/// One line for each part: number, type, offsets, octets, lines; then the oddities. What the golden tests compare.
std::string to_string(const Tree& tree);

}  // namespace mail::message
