# The tables of the record store. Their shape is not written here: tables.json is written from the definitions the
# server itself uses (crates/everplay-records/src/tables.rs), and a test compares the two.

locals {
  tables = { for table in jsondecode(file("${path.module}/tables.json")) : table.name => table }

  # DynamoDB wants each attribute that is part of some key declared once.
  attributes = {
    for name, table in local.tables : name => {
      for attribute in concat(
        [table.partition],
        table.sort == null ? [] : [table.sort],
        flatten([for index in table.indexes : [index.partition, index.sort]]),
      ) : attribute.name => attribute.type...
    }
  }
}

resource "aws_dynamodb_table" "this" {
  for_each = local.tables

  name         = "${var.prefix}${each.key}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = each.value.partition.name
  range_key    = each.value.sort == null ? null : each.value.sort.name

  stream_enabled   = each.value.stream
  stream_view_type = each.value.stream ? "NEW_AND_OLD_IMAGES" : null

  deletion_protection_enabled = var.deletion_protection

  dynamic "attribute" {
    for_each = local.attributes[each.key]
    content {
      name = attribute.key
      type = attribute.value[0]
    }
  }

  dynamic "global_secondary_index" {
    for_each = each.value.indexes
    content {
      name            = global_secondary_index.value.name
      hash_key        = global_secondary_index.value.partition.name
      range_key       = global_secondary_index.value.sort.name
      projection_type = "ALL"
    }
  }

  ttl {
    attribute_name = each.value.expiry
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = var.kms_key_arn != null
    kms_key_arn = var.kms_key_arn
  }

  tags = var.tags

  lifecycle {
    prevent_destroy = true
  }
}
