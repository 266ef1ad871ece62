// A map in a SQLite database: "sqlite:/path/file.db SELECT value FROM table WHERE key = :key".
#pragma once
#include <memory>
#include <string>

#include "route/map.h"

namespace mail::route {

/// The query's parameters are bound, never pasted: ? and :key the key, :user what stands before its '@', :domain what
/// stands behind (a key without '@' is both). Rows are joined by ", "; no row, NULL or an empty text is no entry.
/// Answers are remembered for as long as the database does not change; a change is seen within a second.
std::unique_ptr<Map> sqlite_map(const std::string& specification, EntryCheck check, const Clock& clock);

}  // namespace mail::route
