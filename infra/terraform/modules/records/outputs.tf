output "table_arns" {
  description = "ARN of each table by its name without the prefix."
  value       = { for name, table in aws_dynamodb_table.this : name => table.arn }
}

output "stream_arns" {
  description = "ARN of the stream of each table that has one."
  value       = { for name, table in aws_dynamodb_table.this : name => table.stream_arn if local.tables[name].stream }
}

output "policy_json" {
  description = "What a role that runs the server needs on the tables, as a policy."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:DescribeTable",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
      ]
      Resource = flatten([for table in aws_dynamodb_table.this : [table.arn, "${table.arn}/index/*"]])
    }]
  })
}
