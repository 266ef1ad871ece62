// A message's header fields while filters change them, and the changes by the rules of libmilter (smfi_addheader,
// smfi_insheader, smfi_chgheader).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "milter/session.h"

namespace mail::milter {

class HeaderList {
 public:
  struct Field {
    std::string name;  ///< Empty: a line that is no field; filters do not see it.
    std::string text;  ///< All of it with its line ends.
    bool received = false;
    /// What follows the colon, without the last line end.
    std::string_view value() const;
  };

  HeaderList() = default;
  /// @param header  with the empty line behind it where it had one
  explicit HeaderList(std::string_view header);

  const std::vector<Field>& fields() const { return fields_; }
  void add(const AddHeader& change);
  /// Counts our own Received as the first field, as Sendmail and Postfix do, though filters do not see it.
  void insert(const InsertHeader& change);
  /// Where there is no such field, a value that is not empty is added.
  void change(const ChangeHeader& change);
  /// Puts whole fields, with their line ends, in front of what the client sent.
  void prepend(std::string_view fields);

  /// The fields with `received` in its place. The empty line follows where the message had one or `ended` asks for it.
  std::string text(std::string_view received, bool ended) const;

 private:
  std::vector<Field> fields_{Field{{}, {}, true}};
  bool ended_ = false;
};

}  // namespace mail::milter
