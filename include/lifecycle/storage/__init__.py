"""Where data lie: the lake of partitions on S3, and the warehouse."""
