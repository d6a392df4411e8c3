variable "prefix" {
  description = "Put in front of the tables' names: the server's setting `dynamodb_prefix`."
  type        = string
  default     = ""
}

variable "kms_key_arn" {
  description = "Key that encrypts the tables. Null: a key that AWS owns and rotates."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether a table must be unprotected before it can be deleted."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of every table."
  type        = map(string)
  default     = {}
}
