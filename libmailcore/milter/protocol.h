// The milter protocol, version 6, as Sendmail 8.14 and later, Postfix and all filters of today speak it: names and
// numbers of libmilter's mfdef.h. There is no RFC. A packet is a length of four octets (big-endian, what follows), one
// octet that says what it is, and data.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mail::milter {

inline constexpr std::uint32_t kVersion = 6;
inline constexpr std::uint32_t kLeastVersion = 2;
/// SMFIP_… of old filters know no larger piece of a body (MILTER_CHUNK_SIZE).
inline constexpr std::size_t kChunkOctets = 65535;

/// SMFIF_…: what a filter may do to a message; it asks for some, we offer some.
enum Action : std::uint32_t {
  kAddHeaders = 0x01,
  kChangeBody = 0x02,
  kAddRecipients = 0x04,
  kDeleteRecipients = 0x08,
  kChangeHeaders = 0x10,
  kQuarantine = 0x20,
  kChangeFrom = 0x40,
  kAddRecipientsWithParameters = 0x80,
  kSetMacros = 0x100,
};
inline constexpr std::uint32_t kAllActions = 0x1ff;

/// SMFIP_…: steps that a filter does not want, or does not answer to.
enum Step : std::uint32_t {
  kNoConnect = 0x1,
  kNoHelo = 0x2,
  kNoMail = 0x4,
  kNoRecipient = 0x8,
  kNoBody = 0x10,
  kNoHeaders = 0x20,
  kNoEndOfHeader = 0x40,
  kNoReplyHeader = 0x80,
  kNoUnknown = 0x100,
  kNoData = 0x200,
  kSkip = 0x400,
  kRejectedRecipients = 0x800,  ///< Wants to see recipients that were refused before it was asked: not offered.
  kNoReplyConnect = 0x1000,
  kNoReplyHelo = 0x2000,
  kNoReplyMail = 0x4000,
  kNoReplyRecipient = 0x8000,
  kNoReplyData = 0x10000,
  kNoReplyUnknown = 0x20000,
  kNoReplyEndOfHeader = 0x40000,
  kNoReplyBody = 0x80000,
  kLeadingSpace = 0x100000,  ///< Header values are passed with the blank behind the colon, in both directions.
};
inline constexpr std::uint32_t kOfferedSteps = 0x1ff7ff;

/// SMFIC_…, from us to the filter.
enum class Command : char {
  abort = 'A',
  body = 'B',
  connect = 'C',
  macros = 'D',
  end_of_message = 'E',
  helo = 'H',
  header = 'L',
  mail = 'M',
  end_of_header = 'N',
  negotiate = 'O',
  quit = 'Q',
  recipient = 'R',
  data = 'T',
};

/// SMFIM_…: the stages that macros are sent for, numbered as a filter names them when it asks for some.
enum class Stage : std::uint32_t { connect = 0, helo, mail, recipient, data, end_of_message, end_of_header };
inline constexpr std::size_t kStages = 7;

}  // namespace mail::milter
